"""The tree of errors that `errors.py` draws is the tree that it declares."""

import inspect
import re

from streamer import errors
from streamer.errors import StreamerError

# Four columns for each level: "│   ├── RetryLater".
_LINE = re.compile(r"^ {4}(?P<branches>[│├└─ ]*)(?P<name>[A-Z]\w+)", re.MULTILINE)
_COLUMNS = 4


def drawn() -> list[tuple[int, str]]:
    """Return the depth and name of each error in the drawing, from top to bottom."""
    assert errors.__doc__ is not None
    return [(len(line["branches"]) // _COLUMNS, line["name"]) for line in _LINE.finditer(errors.__doc__)]


def declared(error: type = StreamerError, depth: int = 0) -> list[tuple[int, str]]:
    """Return the same of the classes, in the order of their declaration."""
    children = [each for each in vars(errors).values() if inspect.isclass(each) and error in each.__bases__]
    return [(depth, error.__name__), *(line for child in children for line in declared(child, depth + 1))]


def test_drawn_tree_is_the_declared_one() -> None:
    """A reader of the drawing would miss an error that it lacks."""
    assert drawn() == declared()
