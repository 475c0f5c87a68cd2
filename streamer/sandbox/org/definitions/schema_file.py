"""YAML file of a declared schema; messages about mistakes name the line."""

from collections.abc import Iterator
from operator import itemgetter
from pathlib import Path
from typing import Any

import yaml

from streamer.sandbox.org.definitions.declaration import DeclaredSchema
from streamer.sandbox.org.definitions.mistakes import DeclarationError, Keys, Mistake
from streamer.sandbox.org.definitions.parser import parse_schema


def read_schema(path: Path) -> DeclaredSchema:
    """Return the schema in a file.

    Raises `OSError`, or `ValueError` with one line of text for each mistake: the file,
    the line, the keys and the remedy.
    """
    places = _Places(path)
    data = places.read()
    mistakes = [*places.mistakes]
    try:
        schema = parse_schema(data)
    except DeclarationError as error:
        mistakes += ((places.line(each.keys), each) for each in error.mistakes)
    if mistakes:
        # Sorted by line; mistakes in the same line stay in the order in which they were found.
        found = sorted(mistakes, key=itemgetter(0))
        raise ValueError("\n".join(f"{path}:{line}: {mistake}" for line, mistake in found))
    return schema


class _Places:
    """Lines of the keys of a YAML file, and the keys that appear twice."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lines: dict[Keys, int] = {(): 1}
        self.mistakes: list[tuple[int, Mistake]] = []

    def read(self) -> Any:
        """Return the data of the file; raises `ValueError` for a file that is not YAML."""
        try:
            text = self._path.read_text(encoding="utf-8")
            root = yaml.compose(text, Loader=yaml.SafeLoader)
            if root is not None:
                self._walk(root, (), ())
            return yaml.safe_load(text)
        except yaml.MarkedYAMLError as error:
            line = error.problem_mark.line + 1 if error.problem_mark else 1
            raise ValueError(f"{self._path}:{line}: this line is not valid YAML: {error.problem}") from None
        except (yaml.YAMLError, UnicodeDecodeError):
            raise ValueError(f"{self._path} is not a YAML file in UTF-8.") from None
        except RecursionError:
            raise ValueError(f"{self._path} is nested too deeply.") from None

    def line(self, keys: Keys) -> int:
        """Return the line of `keys`, or of the nearest keys above them."""
        while keys not in self._lines:
            keys = keys[:-1]
        return self._lines[keys]

    def _walk(self, node: yaml.Node, keys: Keys, above: tuple[yaml.Node, ...]) -> None:
        if node in above:
            raise ValueError(f"{self._path}:{node.start_mark.line + 1}: an anchor contains itself.")
        for key, key_node, value in _children(node):
            here = (*keys, key)
            if here in self._lines and isinstance(node, yaml.MappingNode):
                mistake = Mistake(here, "is a key that appears twice: remove one of the two")
                self.mistakes.append((key_node.start_mark.line + 1, mistake))
                continue
            self._lines[here] = key_node.start_mark.line + 1
            self._walk(value, here, (*above, node))


def _children(node: yaml.Node) -> Iterator[tuple[str | int, yaml.Node, yaml.Node]]:
    if isinstance(node, yaml.MappingNode):
        yield from ((str(key.value), key, value) for key, value in node.value)
    elif isinstance(node, yaml.SequenceNode):
        yield from ((index, item, item) for index, item in enumerate(node.value))
