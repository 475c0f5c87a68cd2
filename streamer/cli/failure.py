"""Reporting of failures: a sentence for each, and an exit status for scripts."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import typer

from streamer.errors import ConfigurationError, StreamerError, leaves

CONFIGURATION = 2
"""Exit status for a mistake in the configuration; nothing was connected."""

REFUSED = 1
"""Exit status for errors on which an operator must act: credentials, permissions, the log's settings."""


def print_failure(sentence: str) -> None:
    """Print a failure for people, on standard error."""
    typer.echo(f"streamer: {sentence}", err=True)


@contextmanager
def failures_reported(tell: Callable[[str], None] = print_failure) -> Iterator[None]:
    """Turn the errors that Streamer raises on purpose into sentences for `tell`, and an exit status."""
    try:
        yield
    except* StreamerError as group:
        errors = list(leaves(group))
        for sentence in dict.fromkeys(map(str, errors)):
            tell(sentence)
        wrong = all(isinstance(error, ConfigurationError) for error in errors)
        raise typer.Exit(CONFIGURATION if wrong else REFUSED) from None
