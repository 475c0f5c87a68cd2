"""The names of public classes: each means one thing in the whole tree."""

import ast
from collections import defaultdict
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

import streamer
import subscribers
from streamer import events, ports

_ROOTS = [Path(package.__path__[0]) for package in (streamer, subscribers)]


def test_no_two_public_classes_share_a_name() -> None:
    """A reader who searches for a class finds one."""
    places = defaultdict[str, list[str]](list)
    for path in (each for root in _ROOTS for each in root.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places[node.name].append(f"{path}:{node.lineno}")

    assert len(places) > 1
    assert not {name: found for name, found in places.items() if len(found) > 1}


@pytest.mark.parametrize("package", [events, ports])
def test_names_of_a_package_are_those_that_the_type_checker_sees(package: ModuleType) -> None:
    """Each name that is imported when first read comes from the module that mypy reads it from."""
    seen = {
        alias.name: node.module
        for node in ast.walk(ast.parse(Path(str(package.__file__)).read_bytes()))
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith(package.__name__)
        for alias in node.names
    }

    assert sorted(seen) == sorted(package.__all__)
    for name, module in seen.items():
        assert getattr(package, name) is getattr(import_module(str(module)), name)
    with pytest.raises(AttributeError, match="no attribute 'Missing'"):
        package.Missing  # noqa: B018 - reading it is the test
