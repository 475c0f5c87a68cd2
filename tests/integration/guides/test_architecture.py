"""docs/architecture.md shows the tree, the layers and the names as they are in the code."""

import ast
import re
from collections.abc import Iterator
from configparser import ConfigParser
from pathlib import Path

import pytest

from tests.integration.guides.pages import ROOT, page

GUIDE = page("docs/architecture.md")
TREE, LAYERS = re.findall(r"^```\n(.*?)^```", GUIDE, flags=re.DOTALL | re.MULTILINE)
STATIONS = re.findall(r"^\| \[[^]]+\]\(\.\./(\S+\.py)\) \| `(\w+)` \|", GUIDE, flags=re.MULTILINE)


def test_tree_names_every_folder_and_every_path_exists() -> None:
    """The tree has all folders of the daemon, and nothing that is not there."""
    named = set(_paths(TREE))
    folders = {path for path in (ROOT / "streamer").rglob("*/") if path.name != "__pycache__"}

    assert [path for path in named if not path.exists()] == []
    assert folders | {ROOT / "streamer"} == {path for path in named if path.is_dir()}


@pytest.mark.parametrize(("file", "name"), STATIONS)
def test_station_is_in_its_file(file: str, name: str) -> None:
    """Each station on the way of an event is a class or a function of the file that it is linked to."""
    defined = ast.parse((ROOT / file).read_text()).body
    kinds = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef

    assert name in {each.name for each in defined if isinstance(each, kinds)}


def test_layers_are_those_that_the_linter_proves() -> None:
    """The picture shows import-linter's own layers of the whole package, in its order."""
    contracts = ConfigParser()
    contracts.read_string(page(".importlinter"))
    proved = contracts["importlinter:contract:streamer"]["layers"].split("\n")
    shown = [_names(line) for line in LAYERS.splitlines() if _names(line)]

    assert shown == [_names(layer) for layer in proved if layer]


def _paths(tree: str) -> Iterator[Path]:
    """Return the path that each line of `tree` names, by its indentation."""
    above: dict[int, Path] = {-1: ROOT}
    for indentation, name in re.findall(r"^((?:  )*)([\w.]+/?)", tree, flags=re.MULTILINE):
        depth = len(indentation) // 2
        above[depth] = above[depth - 1] / name
        yield above[depth]


def _names(layer: str) -> set[str]:
    return set(re.findall(r"\w+", layer))
