"""Limits for the size of folders and functions."""

import ast
from collections.abc import Iterator
from pathlib import Path

import streamer
import subscribers

_MOST_FILES = 15
_MOST_LINES = 50
_ROOTS = [Path(package.__path__[0]) for package in (streamer, subscribers)]


def _folders() -> Iterator[Path]:
    for root in _ROOTS:
        yield root
        yield from (each for each in root.rglob("*") if each.is_dir() and each.name != "__pycache__")


def test_no_folder_holds_more_than_fifteen_files() -> None:
    """More are two concerns, and the second one gets a folder of its own."""
    crowded = {
        str(each): count for each in _folders() if (count := len(list(each.glob("*.py")))) > _MOST_FILES
    }

    assert not crowded


def test_no_function_is_longer_than_fifty_lines() -> None:
    """The generated modules of the Pub/Sub API's messages have no functions."""
    long = [
        f"{path}:{node.lineno} {node.name}"
        for root in _ROOTS
        for path in root.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_bytes()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or 0) - node.lineno >= _MOST_LINES
    ]

    assert not long
