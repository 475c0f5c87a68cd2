"""Frozen values are complete after construction."""

import ast
from pathlib import Path

import streamer


def test_no_frozen_value_is_changed_after_it_was_made() -> None:
    """A type checker sees no field that `object.__setattr__` sets, and no reader expects it."""
    changed = [
        f"{path}:{node.lineno}"
        for path in Path(streamer.__path__[0]).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_bytes()))
        if isinstance(node, ast.Attribute)
        and node.attr == "__setattr__"
        and isinstance(node.value, ast.Name)
        and node.value.id == "object"
    ]

    assert not changed
