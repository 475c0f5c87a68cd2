"""Imports and loggers that cost nothing before their first use.

`streamer check` and most other commands open no connection and log nothing, but
they import modules that can do so. The import of aiohttp, or of structlog with
rich, takes longer than the import of all of Streamer.
"""

from importlib import import_module
from typing import Any


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
        return getattr(module, attribute, None) or import_module(f"{self._name}.{attribute}")


class LaterLogger:
    """Logger of structlog that is created when it first logs."""

    def __getattr__(self, method: str) -> Any:
        import structlog  # noqa: PLC0415 - see the module's docstring

        return getattr(structlog.get_logger(), method)
