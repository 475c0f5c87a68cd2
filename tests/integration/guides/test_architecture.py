"""docs/architecture.md shows the tree, the layers and the names as they are in the code."""

import ast
import re
from pathlib import Path

import pytest

from tests.integration.guides.pages import ROOT, page
from tools.architecture_reference import PAGE, layers, summary, tree
from tools.architecture_reference import page as written

GUIDE = page("docs/architecture.md")
ROWS = re.findall(r"^\| \[[^]]+\]\(\.\./(\S+\.py)\) \| ([^|]+) \|", GUIDE, flags=re.MULTILINE)
STATIONS = [(file, name) for file, names in ROWS for name in re.findall(r"`(\w+)`", names)]
PACKAGES = sorted((ROOT / "streamer").rglob("__init__.py"))


def test_page_is_up_to_date() -> None:
    """`make reference` writes the tree and the layers again."""
    assert written() == PAGE.read_text(encoding="utf-8")


def test_tree_has_a_line_for_every_package() -> None:
    """A folder that is missing in the tree is a folder that nobody finds."""
    lines = tree().splitlines()

    assert [re.split("  +", line.strip())[0] for line in lines if re.match(r" *\w+/", line)] == [
        f"{package.parent.name}/" for package in sorted(PACKAGES, key=lambda each: each.parent.parts)
    ]


@pytest.mark.parametrize("package", PACKAGES, ids=lambda each: str(each.parent.relative_to(ROOT)))
def test_package_says_in_a_line_what_it_holds(package: Path) -> None:
    """The tree shows this line, beside the name, on one screen."""
    assert 0 < len(summary(package)) <= 100


def test_layers_stand_in_the_order_of_the_linter() -> None:
    """The command line stands above the core, and the values that travel below it."""
    shown = [line.split() for line in layers().splitlines()]
    rows = {name: at for at, line in enumerate(shown) for name in line}

    assert rows["cli"] < rows["ingest"] == rows["dispatch"] < rows["events"]


@pytest.mark.parametrize(("file", "name"), STATIONS)
def test_station_is_in_its_file(file: str, name: str) -> None:
    """Each station on the way of an event is a class or a function of the file that it is linked to."""
    defined = ast.parse((ROOT / file).read_text()).body
    kinds = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef

    assert name in {each.name for each in defined if isinstance(each, kinds)}
