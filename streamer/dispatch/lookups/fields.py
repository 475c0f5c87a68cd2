"""Fields that are read of one object, and refusals of Salesforce that concern it."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple, Self

from streamer.clock import Clock
from streamer.errors import RecordsRefused

_WANTED_S = 600.0
_REFUSED_S = 60.0
# A refusal of the whole object names no field.
_OBJECT = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldNames:
    """Names of the fields that a look-up reads.

    `pairs` hold each name as it is asked for, and its key, which is in lower
    case; `keys` are all of these.
    """

    pairs: tuple[tuple[str, str], ...]
    keys: frozenset[str]

    @classmethod
    def of(cls, *names: str) -> Self:
        """Return these names."""
        pairs = tuple((name, name.lower()) for name in names)
        return cls(pairs=pairs, keys=frozenset(key for _, key in pairs))

    @property
    def names(self) -> tuple[str, ...]:
        """Names as they are asked for."""
        return tuple(name for name, _ in self.pairs)


class _Wanted(NamedTuple):
    name: str
    at: float


class _Refused(NamedTuple):
    error: RecordsRefused
    until: float


@dataclass(slots=True, kw_only=True)
class ObjectFields:
    """Fields of the object `sobject` that any subscriber wants, in one spelling.

    A field that nothing has asked for in ten minutes is read no longer. A
    refusal is believed for a minute, so that a correction in the org takes
    effect, and a mistake costs few requests.
    """

    sobject: str
    clock: Clock
    _wanted: dict[str, _Wanted] = field(default_factory=dict, init=False)
    _refused: dict[str, _Refused] = field(default_factory=dict, init=False)

    def want(self, fields: FieldNames) -> None:
        """Read `fields` too from now on."""
        now = self.clock.monotonic()
        for name, key in fields.pairs:
            known = self._wanted.get(key)
            self._wanted[key] = _Wanted(name if known is None else known.name, now)

    def refuse(self, error: RecordsRefused) -> None:
        """Leave out the field that `error` names, or read the object no longer if it names none."""
        self._refused[error.field.lower()] = _Refused(error, self.clock.monotonic() + _REFUSED_S)

    def refusal(self, fields: Iterable[str]) -> RecordsRefused | None:
        """Return the refusal of the object or of one of `fields`, or `None`."""
        now = self.clock.monotonic()
        for key in (_OBJECT, *(each.lower() for each in fields)):
            refused = self._refused.get(key)
            if refused is not None and now < refused.until:
                return refused.error
        return None

    def names(self) -> list[str]:
        """Return the names of the fields to read."""
        now = self.clock.monotonic()
        self._wanted = {key: each for key, each in self._wanted.items() if now - each.at <= _WANTED_S}
        return sorted(each.name for each in self._wanted.values() if self.refusal((each.name,)) is None)
