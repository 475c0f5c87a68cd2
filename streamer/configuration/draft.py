"""Draft: the valid parts of a configuration that has mistakes. With a draft, one check finds all mistakes."""

from collections.abc import Iterable
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any

from pydantic import ValidationError

from streamer.configuration.document import Document, Keys, holds, overlaps
from streamer.configuration.problems import problems
from streamer.errors import ConfigurationError
from streamer.known_secrets import KNOWN, secrets_in
from streamer.settings import Settings

# Placeholders for parts that are missing or have a mistake.
_ORG = {
    "login_url": "https://mistaken.invalid",
    "auth": {"flow": "client_credentials", "client_id": "mistaken", "client_secret": "none"},
}
_CHANNEL = "/data/ChangeEvents"
_PLUGIN = "mistaken"
_TYPES = "*"


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """Settings with a valid placeholder for each part in `mistaken`.

    `channels` gives the position in the document of each channel in `settings`.
    `lines` are the messages about the mistakes.
    """

    settings: Settings
    channels: tuple[int, ...]
    mistaken: frozenset[Keys] = frozenset()
    lines: tuple[str, ...] = ()

    def is_sound(self, *keys: int | str) -> bool:
        """Return true when no mistake is at `keys`, below `keys`, or at a section around `keys`."""
        return not overlaps(keys, self.mistaken)

    def with_mistakes(self, lines: Iterable[str]) -> "Draft":
        """Return this draft with `lines` as additional mistakes."""
        return replace(self, lines=tuple(dict.fromkeys([*self.lines, *lines])))

    def with_unfit(self, unfit: Iterable[tuple[Keys, str]], document: Document) -> "Draft":
        """Return this draft with additional mistakes: one for each key of `document` in `unfit`."""
        found = dict(unfit)
        lines = [document.mistake(keys, sentence) for keys, sentence in found.items()]
        return replace(self.with_mistakes(lines), mistaken=self.mistaken.union(found))

    def finished(self) -> Settings:
        """Return the settings. Raises `ConfigurationError` with one line for each mistake."""
        if self.lines:
            raise ConfigurationError("\n".join(self.lines))
        return self.settings


def draft(document: Document) -> Draft:
    """Return the valid parts of `document`, and the mistakes in all other parts."""
    mistaken: set[Keys] = set(document.mistakes)
    lines = list(document.mistakes.values())
    removed: set[Keys] = set()
    data = document.data
    while True:
        try:
            settings = Settings.model_validate(data)
        except ValidationError as error:
            before = set(removed)
            for each in problems(error, document, Settings):
                removed.add(_removable(each.keys if each.keys not in removed else each.keys[:-1]))
                # The list of channels is checked again without the channels that have mistakes.
                is_new = each.keys == ("channels",) or not overlaps(each.keys, before)
                if is_new and not each.follows:
                    mistaken.add(each.keys)
                    lines.append(each.line)
            if removed == before:
                raise ConfigurationError("\n".join(lines)) from None
            data = _without(document.data, removed)
        else:
            KNOWN.configure(secrets_in(settings))
            return Draft(
                settings=settings,
                channels=_kept(document, removed),
                mistaken=frozenset(mistaken),
                lines=tuple(lines),
            )


def _kept(document: Document, removed: set[Keys]) -> tuple[int, ...]:
    """Return the positions of the valid channels."""
    channels = document.at(["channels"])
    if ("channels",) in removed or not isinstance(channels, list | tuple):
        return ()
    return tuple(index for index in range(len(channels)) if ("channels", index) not in removed)


def _removable(keys: Keys) -> Keys:
    """Return the part that a mistake at `keys` removes; other entries of a list keep their positions."""
    match keys:
        case ("channels", int() as index, *_):
            return ("channels", index)
        case ("protect", int() as index, *_):
            return ("protect", index)
        case ("subscribers", name, "on", *_):
            return ("subscribers", name, "on")
        case _:
            return keys


def _without(whole: Any, removed: Iterable[Keys]) -> Any:
    """Return a copy of `whole` without the `removed` parts, and with placeholders for required parts."""
    data = deepcopy(whole)
    # Later entries of a list are removed first, so that the positions of earlier entries stay
    # right.
    for keys in sorted(removed, key=lambda keys: [(str(type(key)), key) for key in keys], reverse=True):
        section = data
        for key in keys[:-1]:
            section = section[key] if holds(section, key) else {}
        if keys and holds(section, keys[-1]):
            del section[keys[-1]]
    data.setdefault("org", _ORG)
    data["channels"] = data.get("channels") or [_CHANNEL]
    for each in (data.get("subscribers") or {}).values():
        each.setdefault("uses", _PLUGIN)
        if not each.get("after"):
            each.setdefault("on", _TYPES)
    return data
