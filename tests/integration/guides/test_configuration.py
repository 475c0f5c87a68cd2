"""docs/configuration.md and the JSON Schema match the settings' models."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft7Validator

from streamer.configuration.reading import Yaml12Words
from tests.integration.guides.pages import ROOT, block, page
from tools.configuration_reference import SCHEMA, files

EXAMPLES = sorted(path for folder in ("config", "k8s") for path in (ROOT / folder).rglob("streamer.yaml"))


class Loader(Yaml12Words, yaml.SafeLoader):
    """Loader of an editor, which leaves variables as they are."""


def read(text: str) -> Any:
    """Return the data of `text`; as in an editor, every key is a text."""
    return json.loads(json.dumps(yaml.load(text, Loader)))  # noqa: S506 - a safe loader


def test_made_files_are_up_to_date() -> None:
    """`make reference` writes them again."""
    assert [path.name for path, text in files() if path.read_text(encoding="utf-8") != text] == []


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: str(path.relative_to(ROOT)))
def test_example_names_the_schema_and_keeps_it(path: Path) -> None:
    """An editor finds the schema by the first line, and shows no mistake."""
    text = path.read_text()
    [named] = re.findall(r"\A# yaml-language-server: \$schema=(\S+)\n", text)

    assert (path.parent / named).resolve() == SCHEMA
    assert [*Draft7Validator(json.loads(SCHEMA.read_text())).iter_errors(read(text))] == []


def test_readmes_configuration_keeps_the_schema() -> None:
    """As a newcomer would copy it."""
    whole = read(block(page("README.md"), "yaml"))

    assert Draft7Validator(json.loads(SCHEMA.read_text())).is_valid(whole)


def test_every_key_has_a_row() -> None:
    """With its type and its meaning."""
    schema = json.loads(SCHEMA.read_text())
    sections = [schema, *schema["$defs"].values()]
    keys = [key for each in sections for key in each.get("properties", {})]
    rows = re.findall(r"^\| `(\w+)` \| .+ \| .* \| .+ \|$", page("docs/configuration.md"), flags=re.MULTILINE)

    assert sorted(rows) == sorted(key for key in keys if key != "file")
