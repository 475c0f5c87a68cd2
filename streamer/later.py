"""Imports, names of packages and loggers that cost nothing before their first use.

`streamer check` and most other commands open no connection and log nothing, but
they import modules that can do so. The import of aiohttp, or of structlog with
rich, takes longer than the import of all of Streamer.
"""

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from importlib import import_module
from typing import Any

_EXTRAS = ("colorama", "greenlet", "rich")


class Later:
    """Module `name`, imported when one of its attributes or submodules is first read.

    A module that uses this class imports the real module under `TYPE_CHECKING`. It
    also needs `from __future__ import annotations`, because an annotation would
    otherwise import the module.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        module = import_module(self._name)
        try:
            value = getattr(module, attribute)
        except AttributeError:
            value = import_module(f"{self._name}.{attribute}")
        # A later read finds the value without this method: some reads belong to each delivery.
        setattr(self, attribute, value)
        return value


def names_later(package: str, modules: Mapping[str, str]) -> Callable[[str], Any]:
    """Return the `__getattr__` of `package`, which imports a name's module when the name is first read.

    `modules` holds the names that each module has for the package, separated by spaces. The
    package imports the same names under `TYPE_CHECKING`.
    """
    homes = {name: f"{package}.{module}" for module, names in modules.items() for name in names.split()}

    def read(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(import_module(homes[name]), name)
        setattr(sys.modules[package], name, value)
        return value

    return read


class LaterLogger:
    """Logger of structlog that is created when it first logs."""

    def __getattr__(self, method: str) -> Any:
        # Later imports must not hide the extras from other threads for a moment.
        with nullcontext() if "structlog" in sys.modules else without_extras():
            import structlog  # noqa: PLC0415 - see the module's docstring

        return getattr(structlog.get_logger(), method)


@contextmanager
def without_extras() -> Iterator[None]:
    """Let the imports inside the context find that none of `_EXTRAS` is installed.

    structlog imports each of them, if it can, for tracebacks, consoles and threads that Streamer
    does not use. A daemon would keep their 90 modules, with 4 MB of memory. Only for the start of a
    process, before there are other threads: these would not find the extras either.
    """
    absent = [name for name in _EXTRAS if name not in sys.modules]
    # Python's documentation of `sys.modules`: an import of a name with `None` fails.
    sys.modules.update(dict.fromkeys(absent))  # type: ignore[arg-type] # see above
    try:
        yield
    finally:
        for name in absent:
            sys.modules.pop(name, None)
