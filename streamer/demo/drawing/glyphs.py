"""Characters that the demo draws with, in a terminal with UTF-8 and in one without."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Glyphs:
    """Characters of boxes, arrows, bars and marks. `corners` are in the order of reading."""

    corners: tuple[str, str, str, str]
    horizontal: str
    vertical: str
    flow: str
    blocked: str
    back: str
    turn: str
    up: str
    down: str
    bar: str
    done: str
    left: str
    levels: str
    cut: str
    good: str
    bad: str


UNICODE = Glyphs(
    corners=("╭", "╮", "╰", "╯"),
    horizontal="─",
    vertical="│",
    flow="──▶",
    blocked="─✖ ",
    back="▼",
    turn="╯",
    up="●",
    down="✖",
    bar="▇",
    done="━",
    left="─",
    levels=" ▁▂▃▄▅▆▇█",
    cut="…",
    good="✔",
    bad="✘",
)
ASCII = Glyphs(
    corners=("+", "+", "+", "+"),
    horizontal="-",
    vertical="|",
    flow="-->",
    blocked="-X ",
    back="v",
    turn="+",
    up="*",
    down="X",
    bar="#",
    done="=",
    left="-",
    levels=" .:-=+*#@",
    cut="~",
    good="OK:",
    bad="FAILED:",
)

# Python writes UTF-8 in these locales, although the terminal does not have to understand it.
_PLAIN_LOCALES = {"C", "POSIX"}


def glyphs_for(encoding: str | None, environ: Mapping[str, str]) -> Glyphs:
    """Return the characters for an output with this encoding and environment.

    If the environment names no locale, as in most containers, only the encoding
    decides.
    """
    named = (environ.get(name) for name in ("LC_ALL", "LC_CTYPE", "LANG"))
    locale = next(filter(None, named), "")
    is_utf8 = (encoding or "").lower().replace("-", "") == "utf8"
    return UNICODE if is_utf8 and locale not in _PLAIN_LOCALES else ASCII
