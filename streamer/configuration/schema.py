"""JSON Schema of the configuration, for editors and for the reference page."""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, models_json_schema
from pydantic_core import CoreSchema

from streamer.events import JsonObject
from streamer.settings import LookupSettings, Settings, SubscriberSettings

# No plugin's class can have these names.
VARIABLE = "from-environment"
"""Name of the definition of `${NAME}`, which can replace any single value."""

FILE = "from-file"
"""Name of the definition of `{file: path}`, which can replace any single value."""

# The dialect that yaml-language-server supports best.
_DIALECT = "http://json-schema.org/draft-07/schema#"
_REFERENCE = "#/$defs/"
_SINGLE = frozenset({"string", "number", "integer", "boolean"})
_LISTS = ("anyOf", "oneOf", "allOf", "prefixItems")
_MAPPINGS = ("properties", "patternProperties")
_PARTS = ("items", "additionalProperties", "then")
_NOTES = ("description", "default", "examples", "writeOnly")

_INDIRECT: JsonObject = {
    VARIABLE: {
        "type": "string",
        "pattern": r"\$\{[A-Za-z_][A-Za-z0-9_]*(:-[^}]*)?\}",
        "description": "a value from the environment: ${NAME}, or ${NAME:-default}",
    },
    FILE: {
        "type": "object",
        "properties": {"file": {"type": "string", "description": "path, relative to this file"}},
        "required": ["file"],
        "additionalProperties": False,
        "description": "the content of a file, such as a mounted secret",
    },
}


class _Generator(GenerateJsonSchema):
    """Generator for pydantic that accepts any value for a type that JSON Schema can't describe."""

    ignored_warning_kinds: set[Any] = {"skipped-choice", "non-serializable-default"}  # noqa: RUF012 - pydantic's

    def handle_invalid_for_json_schema(self, schema: CoreSchema, error_info: str) -> JsonObject:  # noqa: ARG002 - pydantic's signature
        """Return a schema without rules; the plugin's model checks the value."""
        return {}


def configuration_schema(
    plugins: Mapping[str, type[BaseModel]], services: Mapping[str, type[BaseModel]]
) -> JsonObject:
    """Return the JSON Schema of a configuration file.

    `plugins` has the settings model of each plugin, by name. `services` has the
    settings model of each service that look-ups query, by its key in `enrich`. Each
    single value can also be `${NAME}` or `{file: path}`. Rules between keys, such
    as "one of kafka and sqlite", are not in the schema.
    """
    models: Iterable[type[BaseModel]] = dict.fromkeys(
        [Settings, SubscriberSettings, LookupSettings, *plugins.values(), *services.values()]
    )
    found, whole = models_json_schema(
        [(model, "validation") for model in models], schema_generator=_Generator
    )
    definitions = whole["$defs"]
    root = definitions.pop(_name(found[Settings, "validation"]))
    settings = {name: found[model, "validation"] for name, model in plugins.items()}
    _join(definitions[_name(found[SubscriberSettings, "validation"])], settings, definitions)
    lookup = definitions[_name(found[LookupSettings, "validation"])]["properties"]
    for name, model in services.items():
        lookup[name]["anyOf"] = [found[model, "validation"], {"type": "null"}]
    definitions = {name: _simplified(each) for name, each in sorted(definitions.items())}
    opened = {
        name: each if _is_single(each, definitions) else _opened(each, definitions)
        for name, each in definitions.items()
    }
    root = _opened(_simplified(root), definitions)
    return {"$schema": _DIALECT, "title": "Streamer's configuration", **root, "$defs": opened | _INDIRECT}


def definition(schema: Mapping[str, Any], whole: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return `schema`, or the definition in `whole` that it refers to."""
    found: Mapping[str, Any] = whole["$defs"][_name(schema)] if "$ref" in schema else schema
    return found


def is_indirect(schema: Mapping[str, Any]) -> bool:
    """Return true for the alternatives `${NAME}` and `{file: path}` of a value."""
    return "$ref" in schema and _name(schema) in _INDIRECT


def _name(reference: Mapping[str, Any]) -> str:
    return str(reference["$ref"]).removeprefix(_REFERENCE)


def _join(subscriber: JsonObject, plugins: Mapping[str, JsonObject], definitions: JsonObject) -> None:
    """Choose the schema of a subscriber's `settings` by `uses`, and require `on` or `after`."""
    subscriber["properties"]["uses"]["enum"] = sorted(plugins)
    subscriber["anyOf"] = [{"required": ["on"]}, {"required": ["after"]}]
    subscriber["allOf"] = [
        {"if": {"properties": {"uses": {"enum": [name]}}, "required": ["uses"]}, "then": settings}
        for name, settings in (
            (name, _settings(reference, definitions)) for name, reference in sorted(plugins.items())
        )
    ]


def _settings(reference: JsonObject, definitions: JsonObject) -> JsonObject:
    settings: JsonObject = {"properties": {"settings": reference}}
    if definitions[_name(reference)].get("required"):
        settings["required"] = ["settings"]
    return settings


def _simplified(schema: Any) -> Any:
    """Return `schema` without the parts that are useless or harmful in an editor."""
    if not isinstance(schema, dict):
        return schema
    simple = _with_parts(schema, _simplified)
    for name in ("title", "discriminator"):
        simple.pop(name, None)
    if isinstance(simple.get("default"), dict | list):
        # An editor would insert the default of the whole section.
        del simple["default"]
    if "patternProperties" in simple:
        simple["additionalProperties"] = False
    if "oneOf" in simple:
        # If the discriminator is ${NAME}, several members match.
        simple["anyOf"] = simple.pop("oneOf")
    return simple


def _opened(schema: Any, definitions: JsonObject) -> Any:
    """Return `schema` with `${NAME}` and `{file: path}` as alternatives to every single value."""
    if not isinstance(schema, dict) or is_indirect(schema):
        return schema
    alternatives = schema.get("anyOf") or [{key: schema[key] for key in schema if key not in _NOTES}]
    if not any(_is_single(each, definitions) for each in alternatives):
        return _with_parts(schema, partial(_opened, definitions=definitions))
    indirect = [FILE] if {"type": "string"} in alternatives else [VARIABLE, FILE]
    inside = [_with_parts(each, partial(_opened, definitions=definitions)) for each in alternatives]
    notes = {key: schema[key] for key in schema if key in _NOTES}
    return {"anyOf": [*inside, *({"$ref": _REFERENCE + name} for name in indirect)], **notes}


def _is_single(schema: JsonObject, definitions: JsonObject) -> bool:
    kind = definitions[_name(schema)] if "$ref" in schema else schema
    return kind.get("type") in _SINGLE or "enum" in kind or "const" in kind


def _with_parts(schema: JsonObject, change: Callable[[Any], Any]) -> JsonObject:
    """Return a copy of `schema` in which `change` is applied to the schemas directly within `schema`."""
    changed = dict(schema)
    for name, part in schema.items():
        if name in _MAPPINGS:
            changed[name] = {key: change(each) for key, each in part.items()}
        elif name in _LISTS:
            changed[name] = [change(each) for each in part]
        elif name in _PARTS:
            changed[name] = change(part)
    return changed
