"""Rules compiled for each type of event: the treatment of each field, by all of its names."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from streamer.protection.treatments import KEEP, Treatment, treatment_of
from streamer.settings import ProtectionSettings, ProtectRule

_ANY_RUN = "*"
_ADDRESS = "address"
# Components of standard address fields and of geolocations.
_PARTS_OF_ADDRESSES = (
    "street",
    "city",
    "statecode",
    "state",
    "postalcode",
    "countrycode",
    "country",
    "latitude",
    "longitude",
    "geocodeaccuracy",
)
_NAME = "name"
_PARTS_OF_NAMES = frozenset({"salutation", "firstname", "middlename", "lastname", "suffix", "informalname"})
_CUSTOM, _CUSTOM_PART = "__c", "__s"


def matcher(patterns: Iterable[str]) -> Callable[[str], bool]:
    """Return a predicate that is true if a lower-case name matches one of `patterns`.

    `*` matches any run of characters, including dots. The letter case of patterns
    does not matter, as for Salesforce's names.
    """
    lowered = [pattern.lower() for pattern in patterns]
    exact = frozenset(pattern for pattern in lowered if _ANY_RUN not in pattern)
    parts = [pattern.split(_ANY_RUN) for pattern in lowered if _ANY_RUN in pattern]
    return lambda name: name in exact or any(_matches(each, name) for each in parts)


def names_of(path: str) -> Iterator[str]:
    """Yield the lower-case names by which a rule can name the field at `path`.

    `path` joins the names of a field and of its inner parts with dots. The names
    are the path itself and the paths of the enclosing fields. A part of a compound
    field also has its other name, and the name of the compound field.
    """
    lowered = path.lower()
    yield lowered
    around = lowered
    while "." in around:
        around = around.rpartition(".")[0]
        yield around
    first, _, rest = lowered.partition(".")
    if rest and "." not in rest:
        yield from _flat(first, rest)
    elif not rest:
        yield from _compound(first)


def _flat(compound: str, part: str) -> Iterator[str]:
    """Yield the name of a part outside of its compound field."""
    if compound == _NAME:
        yield part
    elif compound.endswith(_ADDRESS):
        yield compound.removesuffix(_ADDRESS) + part
    elif compound.endswith(_CUSTOM):
        yield f"{compound.removesuffix(_CUSTOM)}__{part}{_CUSTOM_PART}"


def _compound(name: str) -> Iterator[str]:
    """Yield the names of a field as part of a compound field, and the name of the compound field."""
    if name in _PARTS_OF_NAMES:
        yield from (f"{_NAME}.{name}", _NAME)
    elif name.endswith(_CUSTOM_PART):
        whole, _, part = name.removesuffix(_CUSTOM_PART).rpartition("__")
        yield from (f"{whole}{_CUSTOM}.{part}", whole + _CUSTOM)
    elif part := next((each for each in _PARTS_OF_ADDRESSES if name.endswith(each)), ""):
        whole = name.removesuffix(part) + _ADDRESS
        yield from (f"{whole}.{part}", whole)


def _matches(parts: Sequence[str], name: str) -> bool:
    """Return whether `name` has `parts` in order, with any text in between; takes linear time."""
    first, *between, last = parts
    at, end = len(first), len(name) - len(last)
    if at > end or not (name.startswith(first) and name.endswith(last)):
        return False
    for part in between:
        at = name.find(part, at, end)
        if at < 0:
            return False
        at += len(part)
    return True


_RECORD_ID = "id"
_WITH_RECORD_ID = "salesforce.topic."
# Types and names come from outside, so their number must be limited.
_MOST_TYPES = 4_096
_MOST_NAMES = 4_096
_LONGEST_KNOWN = 255


@dataclass(slots=True, kw_only=True)
class FieldRules:
    """Treatments of the fields of one type of event; the first rule that names a field applies.

    The record id of a PushTopic notification is kept, because it is also the key.
    """

    rules: Sequence[tuple[ProtectRule, Treatment]]
    keeps_id: bool
    data: Mapping[str, Treatment] = field(init=False)
    names_fields: bool = field(init=False)
    known: dict[str, Treatment] = field(default_factory=dict, init=False)
    _matchers: Sequence[tuple[Callable[[str], bool], Treatment]] = field(init=False)

    def __post_init__(self) -> None:
        """Find the first treatment of each value that is not a field, and compile the field patterns."""
        self.data = {name: treatment for rule, treatment in reversed(self.rules) for name in rule.data}
        self._matchers = [(matcher(rule.fields), treatment) for rule, treatment in self.rules if rule.fields]
        self.names_fields = bool(self._matchers)

    def of(self, path: str) -> Treatment:
        """Return the treatment of the field at `path`.

        Dots in `path` join the names of the field and of its inner parts.
        """
        found = self.known.get(path)
        if found is None:
            found = self._decided(path)
            if len(path) <= _LONGEST_KNOWN:
                if len(self.known) >= _MOST_NAMES:
                    self.known.clear()
                self.known[path] = found
        return found

    def _decided(self, path: str) -> Treatment:
        names = tuple(names_of(path))
        if self.keeps_id and names[0] == _RECORD_ID:
            return KEEP
        for matches, treatment in self._matchers:
            if any(map(matches, names)):
                return treatment
        return KEEP


class Rules:
    """All rules of a configuration.

    Raises `ValueError` if a rule hashes but there is no key.
    """

    def __init__(self, rules: Iterable[ProtectRule], settings: ProtectionSettings) -> None:
        self._rules = [(rule, treatment_of(rule, settings)) for rule in rules]
        self._by_type: dict[str, FieldRules | None] = {}

    def of(self, event_type: str) -> FieldRules | None:
        """Return the rules for one type of event, or `None` if no rule is about it."""
        try:
            return self._by_type[event_type]
        except KeyError:
            if len(self._by_type) >= _MOST_TYPES:
                self._by_type.clear()
            found = self._by_type[event_type] = self._compiled(event_type)
            return found

    def _compiled(self, event_type: str) -> FieldRules | None:
        rules = [(rule, treatment) for rule, treatment in self._rules if is_about(rule, event_type)]
        keeps_id = event_type.startswith(_WITH_RECORD_ID)
        return FieldRules(rules=rules, keeps_id=keeps_id) if rules else None


def is_about(rule: ProtectRule, event_type: str) -> bool:
    """Return whether `rule` is about events of a type, such as `salesforce.cdc.Contact.updated`."""
    if rule.on is not None:
        return matcher(rule.on)(event_type.lower())
    return is_about_entity(rule, event_type.split(".", 3)[2])


def is_about_entity(rule: ProtectRule, name: str) -> bool:
    """Return whether `rule` names the entity `name`."""
    return matcher(rule.entity or ())(name.lower())


def names_field(rule: ProtectRule, path: str) -> bool:
    """Return whether `rule` names the field at `path`."""
    return any(map(matcher(rule.fields), names_of(path)))
