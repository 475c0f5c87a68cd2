"""Writes the configuration's reference and schema: `python -m tools.configuration_reference`.

`docs/configuration.md` and `config/streamer.schema.json` are generated from the
settings' models, including the models of the plugins in `subscribers/`.
"""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from streamer.app.plugins import installed, lookup_models
from streamer.configuration.schema import configuration_schema, definition, is_indirect

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "configuration.md"
SCHEMA = ROOT / "config" / "streamer.schema.json"

Schema = Mapping[str, Any]

_INTRODUCTION = Path(__file__).with_suffix(".md")

_UNITS = {
    "_s": "seconds",
    "_h": "hours",
    "_bytes": "bytes",
    "_events": "events",
    "per_second": "attempts per second",
}
_TYPES = {
    "string": "text",
    "integer": "whole number",
    "number": "number",
    "boolean": "`true` or `false`",
    "object": "mapping",
}
_FORMATS = {"password": "text, secret", "path": "path", "date-time": "time"}
# Plugins share the sections of `enrich`, which get their headings after the plugins.
_LAST = ".enrich"
_BOUNDS = (
    ("minimum", "at least"),
    ("exclusiveMinimum", "above"),
    ("maximum", "at most"),
    ("exclusiveMaximum", "below"),
    ("minLength", "characters: at least"),
    ("minItems", "entries: at least"),
)


class Reference:
    """Page of all keys of `schema`, with a table for each section after the section around it."""

    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        # Headings by the section's identity, because several keys can refer to one section.
        self._headings: dict[int, str] = {}
        self._sections: list[Schema] = []
        self._find("The whole file", schema, "")

    def text(self) -> str:
        """Return the page."""
        sections = (self._section(self._headings[id(each)], each) for each in self._sections)
        return "\n\n".join([_INTRODUCTION.read_text(encoding="utf-8").rstrip("\n"), *sections]) + "\n"

    def _find(self, heading: str, model: Schema, path: str) -> None:
        """Give `model`, the section at `path`, its heading, and then give the sections within it headings."""
        if id(model) in self._headings:
            return
        self._headings[id(model)] = heading
        self._sections.append(model)
        parts = {f"{path}.{name}".strip("."): part for name, part in model["properties"].items()}
        for name, part in parts.items():
            if not name.endswith(_LAST):
                self._find_within(name, part)
        for each in model.get("allOf", []):
            [plugin] = each["if"]["properties"]["uses"]["enum"]
            settings = self._of(each["then"]["properties"]["settings"])
            self._find(f"{path}.settings, uses: {plugin}", settings, f"{path}.settings")
        for name, part in parts.items():
            if name.endswith(_LAST):
                self._find_within(name, part)

    def _find_within(self, path: str, part: Schema) -> None:
        """Find all sections that the value at `path` can have."""
        for each in part.get("patternProperties", {}).values():
            self._find_within(f"{path}.NAME", each)
        if "items" in part:
            self._find_within(path, part["items"])
        models = [each for each in map(self._of, _alternatives(part)) if "properties" in each]
        for model in models:
            self._find(f"{path}, {_choice(model)}" if len(models) > 1 else path, model, path)

    def _section(self, heading: str, model: Schema) -> str:
        required = model.get("required", [])
        rows = (self._row(name, part, required) for name, part in model["properties"].items())
        table = ["| key | type | default | meaning |", "|---|---|---|---|", *rows]
        return "\n\n".join([f"## {heading}", _paragraphs(model["description"]), "\n".join(table)])

    def _row(self, name: str, part: Schema, required: list[str]) -> str:
        meaning = part.get("description") or self._of(part).get("description", "")
        default = "**required**" if name in required else self._default(part)
        cells = (f"`{name}`", _with_unit(name, self._type(part)), default, _sentence(meaning))
        return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"

    def _default(self, part: Schema) -> str:
        if "default" in part:
            return f"`{_yaml(part['default'])}`"
        sections = [each for each in map(self._of, _alternatives(part)) if "properties" in each]
        if sections:
            return "the section's defaults" if len(sections) == 1 else ""
        return "empty"

    def _type(self, part: Schema) -> str:
        kinds = [self._kind(each) for each in _alternatives(part) if each.get("type") != "null"]
        return " or ".join(dict.fromkeys(kinds))

    def _kind(self, part: Schema) -> str:
        whole = self._of(part)
        if "properties" in whole:
            heading = self._headings[id(whole)]
            return f"[{heading.rpartition(', ')[2]}](#{_anchor(heading)})"
        if "enum" in whole or "const" in whole:
            # A number can be a choice both with and without quotes.
            return ", ".join(dict.fromkeys(f"`{value}`" for value in whole.get("enum", [whole.get("const")])))
        if "items" in whole:
            return f"list: {self._type(whole['items'])}"
        values = [*whole.get("patternProperties", {}).values()]
        if isinstance(whole.get("additionalProperties"), dict):
            values.append(whole["additionalProperties"])
        if values:
            return f"mapping to {self._type(values[0])}"
        kind = _FORMATS.get(whole.get("format", "")) or _TYPES.get(whole.get("type", ""), "anything")
        bounds = [f"{words} {whole[name]:.15g}" for name, words in _BOUNDS if name in whole]
        return ", ".join([kind, *bounds])

    def _of(self, part: Schema) -> Schema:
        return definition(part, self._schema)


def _alternatives(part: Schema) -> list[Schema]:
    return [each for each in part.get("anyOf", [part]) if not is_indirect(each)]


def _choice(model: Schema) -> str:
    """Return the key and value that choose `model`, such as `flow: jwt`."""
    constants = (
        f"{name}: {each['const']}"
        for name, part in model["properties"].items()
        for each in _alternatives(part)
        if "const" in each
    )
    return next(constants)


def _with_unit(name: str, kind: str) -> str:
    """Return the type `kind` of the key `name`, with the unit from the end of the name."""
    unit = next((unit for ending, unit in _UNITS.items() if name.endswith(ending)), "")
    return re.sub("^(whole )?number", unit, kind) if unit else kind


def _yaml(value: Any) -> str:
    """Return `value` as a file contains it."""
    if isinstance(value, bool):
        return str(value).lower()
    if value is None:
        return "null"
    # A text that looks like a number needs quotes.
    if isinstance(value, str):
        return value if yaml.safe_load(value) == value else f'"{value}"'
    return f"{value:.15g}"


def _sentence(text: str) -> str:
    """Return `text` on one line."""
    return " ".join(text.split())


def _paragraphs(text: str) -> str:
    return "\n\n".join(_sentence(each) for each in text.split("\n\n"))


def _anchor(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def shipped_schema() -> dict[str, Any]:
    """Return the schema with only the plugins that ship with Streamer."""
    points = {name: point for name, point in installed().items() if point.module.startswith("subscribers.")}
    plugins = {name: point.load().Settings for name, point in points.items()}
    return configuration_schema(plugins, lookup_models())


def files() -> Iterator[tuple[Path, str]]:
    """Yield the path and the text of each generated file."""
    schema = shipped_schema()
    yield PAGE, Reference(schema).text()
    yield SCHEMA, json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def main() -> None:
    """Write the files."""
    for path, text in files():
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
