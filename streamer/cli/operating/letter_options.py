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
                "Only events that ingest set aside in this channel, such as /data/ChangeEvents.  "
                "[default: any]"
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
                "Only dead letters with this reason, such as rejected; list shows the reasons.  "
                "[default: any]"
            ),
        ),
    ] = None
    error: Annotated[
        str | None,
        typer.Option(
            metavar="TEXT",
            help="Only dead letters with this text in the error, ignoring case.  [default: any]",
        ),
    ] = None
    since: Annotated[
        str | None,
        typer.Option(
            parser=moment,
            metavar="TIME",
            help="Only events that failed since 2h ago, or since an ISO time.  [default: all]",
        ),
    ] = None
    until: Annotated[
        str | None,
        typer.Option(
            parser=moment,
            metavar="TIME",
            help="Only events that failed before 30m ago, or before an ISO time.  [default: now]",
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
                "The dead letters' ids, as list shows them.  [default: all dead letters that match the "
                "options]"
            ),
            autocompletion=letter_ids,
        ),
    ] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfirmationOptions(OperatorOptions):
    """Options of a command that can't be undone; it counts, asks the operator, and is audited."""

    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show the counts.")] = False
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False
    as_json: AsJson = False

    def given(self, question: str, count: int) -> bool:
        """Return true when `count` is not 0 and the operator agrees. Raises `typer.Abort` otherwise."""
        if self.dry_run or not count:
            return False
        return self.yes or confirmed(question)
