"""Names of fields: patterns that match them, and the several names of one field.

A part of a compound field is `MailingAddress.City` in a change event and
`MailingCity` everywhere else, such as in the REST API and in outbound messages
(Object reference, compound fields). A rule that names one of them means both.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence

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
    """Return a predicate that is true for a lower-case name that matches one of `patterns`.

    `*` stands for any run of characters, dots included. Letter case does not
    count, as in Salesforce's names.
    """
    lowered = [pattern.lower() for pattern in patterns]
    exact = frozenset(pattern for pattern in lowered if _ANY_RUN not in pattern)
    parts = [pattern.split(_ANY_RUN) for pattern in lowered if _ANY_RUN in pattern]
    return lambda name: name in exact or any(_matches(each, name) for each in parts)


def names_of(path: str) -> Iterator[str]:
    """Yield the lower-case names by which a rule can mean the field at `path`.

    `path` joins the names of a field and of the parts in it with dots. These are
    the path and the fields around it. A part of a compound field also has its other
    name and the compound field's.
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
    """Yield the name that a part has outside of its compound field."""
    if compound == _NAME:
        yield part
    elif compound.endswith(_ADDRESS):
        yield compound.removesuffix(_ADDRESS) + part
    elif compound.endswith(_CUSTOM):
        yield f"{compound.removesuffix(_CUSTOM)}__{part}{_CUSTOM_PART}"


def _compound(name: str) -> Iterator[str]:
    """Yield a field's names as a part of a compound field, and the compound field's name."""
    if name in _PARTS_OF_NAMES:
        yield from (f"{_NAME}.{name}", _NAME)
    elif name.endswith(_CUSTOM_PART):
        whole, _, part = name.removesuffix(_CUSTOM_PART).rpartition("__")
        yield from (f"{whole}{_CUSTOM}.{part}", whole + _CUSTOM)
    elif part := next((each for each in _PARTS_OF_ADDRESSES if name.endswith(each)), ""):
        whole = name.removesuffix(part) + _ADDRESS
        yield from (f"{whole}.{part}", whole)


def _matches(parts: Sequence[str], name: str) -> bool:
    """Return whether `name` has `parts` in their order, with any run between them, in linear time."""
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
