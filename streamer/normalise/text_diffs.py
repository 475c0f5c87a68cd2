r"""Diffs of large texts in change events: unified diffs that carry a hash of the whole new value.

`--- \n+++ <SHA-256 of the new value>\n@@ -2,1 +2,1 @@\n-former line\n+new line\n`

Salesforce sends them in place of long texts where they are shorter (Change
Data Capture guide, data differences in event fields). The guide leaves open
whether an insertion is counted from the line before it or after it, and which
newlines new lines get, so the hash decides between the readings.
"""

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from streamer.events import JsonObject

LONGEST = 262_144
"""Most characters of a text or a diff that is worked on; Salesforce's longest text area has half as many."""

_HASH = re.compile(r"\+\+\+ ([0-9a-fA-F]{64})\s*", re.ASCII)
_HUNK = re.compile(r"@@ -(\d{1,9})(,\d{1,9})? \+\d{1,9}(,\d{1,9})? @@.*", re.ASCII)
_NEWLINE = re.compile(r"(\r\n|\r|\n)")
_NEWLINE_OF_LF = re.compile(r"(\r?\n)")
_CONTEXT, _REMOVED, _ADDED, _NOTE = " ", "-", "+", "\\"
_MARKS = (_CONTEXT, _REMOVED, _ADDED, _NOTE, "")

Line = tuple[str, str]
"""Text of a line, and the newline that ends it: empty for the last line, and for one that a diff adds."""


def is_diff(value: JsonObject) -> bool:
    """Return whether an object among the fields of an event stands for the diff of a text."""
    return len(value) == 1 and type(value.get("diff")) is str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Hunk:
    """Lines with their marks, and the line of the former value that the header names, from 1."""

    at: int
    lines: Sequence[str]

    @property
    def only_adds(self) -> bool:
        """True for a hunk without a line of the former value."""
        return all(line[:1] in (_ADDED, _NOTE) for line in self.lines)


@dataclass(frozen=True, slots=True, kw_only=True)
class TextDiff:
    """Diff of one text: the SHA-256 of the new value, and the changes that lead to it."""

    sha256: str
    hunks: Sequence[_Hunk]

    @classmethod
    def parse(cls, text: str) -> "TextDiff | None":
        """Return the diff that `text` holds, or `None` when it holds none, or one that is too long.

        The counts in a hunk's header are not used: the marks of the lines say
        the same.
        """
        if len(text) > LONGEST:
            return None
        lines = [line.removesuffix("\r") for line in text.removesuffix("\n").split("\n")]
        stated = _HASH.fullmatch(lines[1]) if len(lines) > 1 and lines[0].startswith("---") else None
        hunks = _hunks(lines[2:])
        if stated is None or hunks is None:
            return None
        return cls(sha256=stated[1].lower(), hunks=hunks)

    def leads_to(self, value: str) -> bool:
        """Return whether `value` is the new value, by its hash."""
        # JSON can hold a lone surrogate, which has no other UTF-8 than this.
        return hashlib.sha256(value.encode("utf-8", "surrogatepass")).hexdigest() == self.sha256

    def applied_to(self, former: str) -> str | None:
        """Return the new value, verified by its hash, or `None` when `former` is not the former value.

        A `former` that is the new value already is returned as it is. The time
        that this takes is linear in the length of both texts.
        """
        if len(former) > LONGEST:
            return None
        if self.leads_to(former):
            return former
        for candidate in self._candidates(former):
            if self.leads_to(candidate):
                return candidate
        return None

    def _candidates(self, former: str) -> Iterator[str]:
        """Yield the new values that the possible readings give, the likely ones first."""
        only_add = any(hunk.only_adds for hunk in self.hunks)
        for lines in _splits(former):
            for inserts_before in (0, 1) if only_add else (0,):
                patched = self._patched(lines, inserts_before)
                if patched is not None:
                    yield from _joined(patched, usual=lines[0][1] or "\n")

    def _patched(self, lines: Sequence[Line], inserts_before: int) -> list[Line] | None:
        """Return the new lines, or `None` when a line of the diff is not where it says.

        diff(1) counts an insertion from the line before it (0), Java's
        libraries from the line after it (1).
        """
        patched: list[Line] = []
        done = 0
        for hunk in self.hunks:
            begin = max(0, hunk.at - (inserts_before if hunk.only_adds else 1))
            if not done <= begin <= len(lines):
                return None
            patched += lines[done:begin]
            done = begin
            for line in hunk.lines:
                mark, text = line[:1] or _CONTEXT, line[1:]
                if mark == _NOTE:
                    continue
                if mark == _ADDED:
                    patched.append((text, ""))
                    continue
                if done == len(lines) or lines[done][0] != text:
                    return None
                if mark == _CONTEXT:
                    patched.append(lines[done])
                done += 1
        return patched + list(lines[done:])


def _hunks(lines: Sequence[str]) -> Sequence[_Hunk] | None:
    """Return the hunks that `lines` hold, or `None` when they hold anything else."""
    hunks: list[tuple[int, list[str]]] = []
    for line in lines:
        if line.startswith("@@"):
            header = _HUNK.fullmatch(line)
            if header is None:
                return None
            hunks.append((int(header[1]), []))
        elif hunks and line[:1] in _MARKS:
            hunks[-1][1].append(line)
        else:
            return None
    return [_Hunk(at=at, lines=of_hunk) for at, of_hunk in hunks]


def _splits(text: str) -> Iterator[Sequence[Line]]:
    """Yield the lines of `text`; a lone carriage return is a newline first, and a character then."""
    yield _lines(_NEWLINE, text)
    if "\r" in text.replace("\r\n", ""):
        yield _lines(_NEWLINE_OF_LF, text)


def _lines(newline: re.Pattern[str], text: str) -> Sequence[Line]:
    parts = newline.split(text)
    return list(zip(parts[::2], [*parts[1::2], ""], strict=True))


def _joined(lines: Sequence[Line], *, usual: str) -> Iterator[str]:
    """Yield the text of `lines` with their own newlines, or `usual` ones, and then with those of one kind.

    An edit in a browser can have changed all of them, which no diff of lines
    tells.
    """
    if not lines:
        yield ""
        return
    yield "".join(text + (end or usual) for text, end in lines[:-1]) + lines[-1][0]
    texts = [text for text, _ in lines]
    for newline in ("\r\n", "\n", "\r"):
        yield newline.join(texts)
