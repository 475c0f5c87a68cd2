"""The names of public classes: each means one thing in the whole tree."""

import ast
from collections import defaultdict
from pathlib import Path

import streamer
import subscribers

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
