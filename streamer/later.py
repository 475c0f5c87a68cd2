"""Imports and loggers that cost nothing before their first use.

`streamer check` and most other commands open no connection and log nothing, but
they import the modules that would. aiohttp and structlog, which imports rich,
take longer to import than all of Streamer.
"""

from importlib import import_module
from typing import Any


class Later:
    """Module `name`, imported when an attribute or a module of it is first read.

    A module that uses it imports the real one under `TYPE_CHECKING`, and has
    `from __future__ import annotations`: an annotation would be such a use.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        module = import_module(self._name)
        return getattr(module, attribute, None) or import_module(f"{self._name}.{attribute}")


class LaterLogger:
    """Logger of structlog, made when it first logs."""

    def __getattr__(self, method: str) -> Any:
        import structlog  # noqa: PLC0415 - see the module's docstring

        return getattr(structlog.get_logger(), method)
