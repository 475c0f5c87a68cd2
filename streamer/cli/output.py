"""Output of commands on a terminal, error messages, and exit statuses."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from streamer.errors import ConfigurationError, StreamerError, leaves
from streamer.events import JsonObject
from streamer.exact_json import exact_json
from streamer.later import Later

Config = Annotated[
    list[Path],
    typer.Option(
        "--config",
        "-c",
        metavar="FILE",
        help="A YAML file; if you give several files, later files override earlier files.",
    ),
]

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]


if TYPE_CHECKING:
    import rich.console
    import rich.measure
    import rich.padding
    import rich.status
    import rich.table
    import rich.text
else:
    rich = Later("rich")

# Wide enough for every line, because a program reads the output.
_PIPE_WIDTH = 10_000


_is_json: ContextVar[bool] = ContextVar("is_json", default=False)


@contextmanager
def sentences_aside(as_json: bool) -> Iterator[None]:  # noqa: FBT001 - it is the option's value
    """Send `console` output to standard error inside the context, if `as_json`."""
    former = _is_json.set(as_json)
    try:
        yield
    finally:
        _is_json.reset(former)


def confirmed(question: str) -> bool:
    """Ask an operator; raises `typer.Abort` unless the answer is yes.

    Raises `ConfigurationError` without a terminal; the message names the option
    `--yes`.
    """
    try:
        is_agreed = typer.confirm(question, err=_is_json.get())
    except typer.Abort:
        if sys.stdin.isatty():
            raise
        raise ConfigurationError(
            "Nothing was changed, because there is no terminal on which you could confirm the change: "
            "add --yes to make it without a question."
        ) from None
    if not is_agreed:
        raise typer.Abort
    return True


def console() -> rich.console.Console:
    """Return a console on standard output, which breaks no lines if the output is a file or a pipe."""
    stderr = _is_json.get()
    stream = sys.stderr if stderr else sys.stdout
    return rich.console.Console(
        highlight=False, width=None if stream.isatty() else _PIPE_WIDTH, stderr=stderr
    )


def working(what: str) -> rich.status.Status:
    """Return a context in which a terminal shows the activity `what` with a spinner."""
    return rich.console.Console(stderr=True).status(f"{what}…")


def print_json(answer: JsonObject) -> None:
    """Print an answer as JSON."""
    typer.echo(exact_json(answer, indented=True).decode())


def print_table(rows: Iterable[Mapping[str, object]], *, empty: str, whole: str = "") -> None:
    """Print `rows` as a table with their keys as headings, or the sentence `empty` without rows.

    Values of the column `whole` are never broken, so an operator can copy them. On a
    narrow terminal, each of these values has its own line above the rest of the row.
    """
    lines = list(rows)
    if not lines:
        console().print(empty)
        return
    table, shown = _table(lines), console()
    wide = rich.measure.Measurement.get(shown, shown.options.update_width(_PIPE_WIDTH), table).maximum
    if not whole or wide <= shown.width:
        shown.print(table)
        return
    for line in lines:
        shown.print(plain(line[whole]), soft_wrap=True)
        rest = (str(value) for name, value in line.items() if name != whole and value not in {None, ""})
        shown.print(rich.padding.Padding(plain("  ".join(rest)), (0, 0, 0, 2)))


def print_missing(answer: JsonObject) -> None:
    """Print the answer's sentences about processes whose share is missing; an older daemon sends none."""
    for sentence in answer.get("missing", ()):
        console().print(plain(sentence), style="red", soft_wrap=True)


def _table(lines: Sequence[Mapping[str, object]]) -> rich.table.Table:
    table = rich.table.Table(box=None, pad_edge=False, header_style="bold")
    for heading in lines[0]:
        table.add_column(heading)
    for line in lines:
        table.add_row(*(plain(value) for value in line.values()))
    return table


def plain(value: object) -> rich.text.Text:
    """Return `value` as text that can't control a terminal, because targets can write parts of a value."""
    text = "" if value is None else str(value)
    return rich.text.Text("".join(each if each.isprintable() else " " for each in text))


def at(moment: str | None) -> str:
    """Return an RFC 3339 time to the second, or an empty text for `None`."""
    return "" if moment is None else f"{moment[:10]} {moment[11:19]}Z"


def with_reason(said: str, repair: JsonObject) -> str:
    """Return the sentence `said` about a repair, with the reason if the repair waits."""
    reason = repair.get("waits")
    return f"{said}; it waits: {reason}" if reason else said


def counted(number: int, name: str) -> str:
    """Return `number` with `name` in the singular or plural."""
    return f"{number:,} {name}" if number == 1 else f"{number:,} {name}s"


def by_reason(counts: Mapping[str, int]) -> str:
    """Return the counts in one line, the largest first."""
    ordered = sorted(counts.items(), key=lambda each: -each[1])
    return ", ".join(f"{reason} {count:,}" for reason, count in ordered)


CONFIGURATION = 2
"""Exit status for a mistake in the configuration, found before any connection."""
REFUSED = 1
"""Exit status for errors that an operator must fix: credentials, permissions, the log's settings."""


def print_failure(sentence: str) -> None:
    """Print a failure in words, on standard error."""
    typer.echo(f"streamer: {sentence}", err=True)


@contextmanager
def failures_reported(tell: Callable[[str], None] = print_failure) -> Iterator[None]:
    """Report Streamer's own errors as sentences through `tell`, and exit with their status."""
    try:
        yield
    except* StreamerError as group:
        errors = list(leaves(group))
        for sentence in dict.fromkeys(map(str, errors)):
            tell(sentence)
        wrong = all(isinstance(error, ConfigurationError) for error in errors)
        raise typer.Exit(CONFIGURATION if wrong else REFUSED) from None
