"""Reporting of failures: a sentence for each, and an exit status for scripts."""

from collections.abc import Iterator
from contextlib import contextmanager

import typer
from rich.console import Console

from streamer.errors import ConfigurationError, StreamerError, leaves

CONFIGURATION = 2
"""Exit status for a mistake in the configuration; nothing was connected."""

REFUSED = 1
"""Exit status for errors on which an operator must act: credentials, permissions, the log's settings."""


@contextmanager
def failures_reported() -> Iterator[None]:
    """Turn the errors that Streamer raises on purpose into sentences on standard error and an exit status."""
    try:
        yield
    except* StreamerError as group:
        errors = list(leaves(group))
        console = Console(stderr=True, highlight=False, soft_wrap=True)
        for sentence in dict.fromkeys(map(str, errors)):
            console.print(f"streamer: {sentence}", markup=False)
        wrong = all(isinstance(error, ConfigurationError) for error in errors)
        raise typer.Exit(CONFIGURATION if wrong else REFUSED) from None
