"""Options of the commands that list, redrive and discard dead letters."""

from dataclasses import dataclass
from typing import Annotated

import typer

from streamer.cli.operating.api_command import (
    OperatorOptions,
    channel_paths,
    letter_ids,
    moment,
    subscriber_names,
)
from streamer.cli.output import AsJson, confirmed


@dataclass(frozen=True, slots=True, kw_only=True)
class LetterOptions:
    """Options that filter dead letters."""

    channel: Annotated[
        str | None,
        typer.Option(
            "--channel",
            metavar="PATH",
            help=(
                "Only events of this channel that ingest set aside, such as events of "
                "/data/ChangeEvents.  [default: any]"
            ),
            autocompletion=channel_paths,
        ),
    ] = None
    subscriber: Annotated[
        str | None,
        typer.Option(
            "--subscriber",
            "-s",
            metavar="NAME",
            help="Only dead letters of this subscriber.  [default: any]",
            autocompletion=subscriber_names,
        ),
    ] = None
    key: Annotated[
        str | None,
        typer.Option(
            metavar="KEY", help="Only dead letters of this key, such as a record's id.  [default: any]"
        ),
    ] = None
    reason: Annotated[
        str | None,
        typer.Option(
            metavar="WORD",
            help=(
                "Only dead letters with this reason, such as rejected; `streamer deadletters list` "
                "shows the reasons.  [default: any]"
            ),
        ),
    ] = None
    error: Annotated[
        str | None,
        typer.Option(
            metavar="TEXT",
            help=(
                "Only dead letters whose error contains this text, in upper or lower case. With = before "
                "the text, only those whose whole error is this text, except for ids, times and numbers.  "
                "[default: any]"
            ),
        ),
    ] = None
    since: Annotated[
        str | None,
        typer.Option(
            parser=moment,
            metavar="TIME",
            help=(
                "Only events that failed since this time, such as 2h (two hours ago) or "
                "2026-01-31T09:30.  [default: all]"
            ),
        ),
    ] = None
    until: Annotated[
        str | None,
        typer.Option(
            parser=moment,
            metavar="TIME",
            help=(
                "Only events that failed before this time, such as 30m (30 minutes ago) or "
                "2026-01-31T09:30.  [default: now]"
            ),
        ),
    ] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChosenLetterOptions(LetterOptions):
    """Arguments and options that choose dead letters to change."""

    ids: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="ID",
            help=(
                "The dead letters' ids; `streamer deadletters list` shows ids.  [default: all dead "
                "letters that match the options]"
            ),
            autocompletion=letter_ids,
        ),
    ] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfirmationOptions(OperatorOptions):
    """Options of a command that can't be undone; it counts, asks the operator, and is audited."""

    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only count the dead letters, and change nothing.")
    ] = False
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")] = False
    as_json: AsJson = False

    def given(self, question: str, count: int) -> bool:
        """Return true when `count` is not 0 and the operator agrees. Raises `typer.Abort` otherwise."""
        if self.dry_run or not count:
            return False
        return self.yes or confirmed(question)
