"""Keys of a declared field that its type does not take."""

from collections.abc import Iterator

from streamer.sandbox.org.definitions.declaration import DeclaredEventField, DeclaredField
from streamer.sandbox.org.definitions.mistakes import Keys, Mistake

_TEXTS = frozenset({"string", "textarea", "email", "phone", "url"})
_DECIMALS = frozenset({"double", "currency", "percent"})
_PICKLISTS = frozenset({"picklist", "multipicklist"})
_REFERENCES = frozenset({"reference"})
_TAKEN_BY = {
    "length": _TEXTS,
    "precision": _DECIMALS,
    "scale": _DECIMALS,
    "unique": frozenset({"string", "double", "int", "email"}),
    "external_id": frozenset({"string", "double", "email"}),
    "case_sensitive": frozenset({"string"}),
    "to": _REFERENCES,
    "child_relationship": _REFERENCES,
    "cascade": _REFERENCES,
    "values": _PICKLISTS,
    "restricted": _PICKLISTS,
}


def field_mistakes(keys: Keys, kind: str, field: DeclaredField | DeclaredEventField) -> Iterator[Mistake]:
    """Return the mistakes among the keys of a field of a type."""
    for key, kinds in _TAKEN_BY.items():
        if key in field.model_fields_set and kind not in kinds:
            yield Mistake((*keys, key), f"is for {', '.join(sorted(kinds))}; leave it out of a {kind}")
    if field.precision is not None and field.scale is not None and field.scale > field.precision:
        yield Mistake((*keys, "scale"), f"is more than the precision, {field.precision} digits; give less")
    if isinstance(field, DeclaredField):
        if field.case_sensitive and not field.unique:
            yield Mistake((*keys, "case_sensitive"), "is for unique fields; add `unique: true`")
        twice = {value for value in field.values if field.values.count(value) > 1}
        if twice:
            yield Mistake((*keys, "values"), f"has {', '.join(sorted(twice))} twice; leave one out")
        if kind == "multipicklist" and any(";" in value for value in field.values):
            yield Mistake((*keys, "values"), "has a semicolon, which separates chosen values; leave it out")
