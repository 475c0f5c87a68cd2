"""Files named in settings, at keys that end with `_file`."""

from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel

from streamer import regular_files
from streamer.configuration.document import Keys

_OF_A_FILE = "_file"


def named_files(model: BaseModel, at: Keys = ()) -> Iterator[tuple[Keys, Path]]:
    """Yield each path in `model` at a key that ends with `_file`, with its keys below `at`."""
    for name, value in model:
        if isinstance(value, BaseModel):
            yield from named_files(value, (*at, name))
        elif isinstance(value, Path) and name.endswith(_OF_A_FILE):
            yield (*at, name), value


def unfit_files(model: BaseModel, at: Keys = ()) -> Iterator[tuple[Keys, str]]:
    """Yield the keys and a sentence for each path that is not a regular file of normal size.

    A missing file is not reported here, because Streamer itself creates some of the
    files.
    """
    for keys, path in named_files(model, at):
        try:
            regular_files.check(path)
        except FileNotFoundError:
            continue
        except OSError as error:
            yield keys, f"{path} can't be used: {error.strerror}"
