"""Rules for the keys of a declared field that depend on the field's type."""

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
    """Return the mistakes in the keys of a field with this type."""
    for key, kinds in _TAKEN_BY.items():
        if key in field.model_fields_set and kind not in kinds:
            yield Mistake(
                (*keys, key),
                (
                    f"is allowed only for the types {', '.join(sorted(kinds))}: remove "
                    f"this key from a field of type {kind}"
                ),
            )
    if field.precision is not None and field.scale is not None and field.scale > field.precision:
        yield Mistake(
            (*keys, "scale"), f"is larger than the precision ({field.precision} digits): set a smaller scale"
        )
    if isinstance(field, DeclaredField):
        if field.case_sensitive and not field.unique:
            yield Mistake((*keys, "case_sensitive"), "is allowed only for unique fields: add `unique: true`")
        twice = {value for value in field.values if field.values.count(value) > 1}
        if twice:
            yield Mistake(
                (*keys, "values"), f"contains {', '.join(sorted(twice))} twice: remove one of the two"
            )
        if kind == "multipicklist" and any(";" in value for value in field.values):
            yield Mistake(
                (*keys, "values"),
                (
                    "contains a value with a semicolon, which separates the "
                    "chosen values: remove the semicolon"
                ),
            )
