"""The command `streamer tail`."""

import asyncio
from contextlib import aclosing
from typing import Annotated

import typer
from rich.console import Console

from streamer.backoff import Backoff, Delays
from streamer.cli.events import Channel, Types, joined, line_of
from streamer.cli.operating.api import Api, ApiInterrupted, ApiRefused
from streamer.cli.operating.api_command import ApiOptions, api_command
from streamer.cli.output import AsJson, console, plain
from streamer.clock import Clock, SystemClock
from streamer.events import JsonObject
from streamer.exact_json import exact_json

_BACKOFF = Backoff(first_s=0.5, limit_s=10.0)


@api_command
async def tail(
    where: ApiOptions,
    *,
    types: Types = None,
    channel: Channel = None,
    record: Annotated[
        str | None,
        typer.Option(
            metavar="RECORD_ID",
            help=(
                "Only events of the record with this id (15 or 18 characters), or with this key.  "
                "[default: any]"
            ),
        ),
    ] = None,
    expression: Annotated[
        str | None,
        typer.Option(
            "--where",
            metavar="EXPRESSION",
            help=(
                "Only events for which this expression is true; write it like a subscriber's `when`.  "
                "[default: any]"
            ),
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show new events as they are appended to the log, until Ctrl-C.

    With --json, each line is an event. On standard error, the command reports
    events that it dropped because this terminal is too slow, and a lost connection
    to the daemon. After a lost connection, the command retries until the daemon is
    back.

    Exits 0 after Ctrl-C, 1 when the daemon refuses or can't be reached at the
    start, 2 for a mistake in the arguments.
    """
    query = {
        "type": joined(types),
        "channel": channel,
        "record": record,
        "where": expression,
    }
    following = Following(api=where.api(), query=query, as_json=as_json, clock=SystemClock())
    try:
        await following.run()
    except asyncio.CancelledError:
        # Ctrl-C.
        return


class Following:
    """Shows the events that a daemon appends, and reconnects when the connection breaks."""

    def __init__(self, *, api: Api, query: dict[str, str | None], as_json: bool, clock: Clock) -> None:
        self._api = api
        self._query = query
        self._as_json = as_json
        self._clock = clock
        self._stderr = Console(stderr=True, highlight=False, soft_wrap=True)
        self._lost_at: float | None = None
        self._has_begun = False

    async def run(self) -> None:
        """Show events until cancelled. Raises `ApiRefused` when the first request fails."""
        delays = Delays(_BACKOFF)
        reason = ""
        while True:
            try:
                await self._follow()
            except ApiInterrupted as error:
                delays, reason = Delays(_BACKOFF), str(error)
                self._lost(reason)
            except ApiRefused as error:
                if not self._has_begun:
                    raise
                if str(error) != reason:
                    reason = str(error)
                    self._lost(reason)
            await self._clock.sleep(delays.next_s())

    async def _follow(self) -> None:
        async with aclosing(self._api.lines("/events/tail", **self._query)) as lines:
            async for line in lines:
                self._show(line)

    def _show(self, line: JsonObject) -> None:
        match line:
            case {"event": event}:
                self._print(event)
            case {"following": _}:
                self._began()
            case {"dropped": count}:
                self._say(f"{count:,} events are not shown, because this terminal reads too slowly.")
            case {"skipped": count}:
                self._say(
                    f"About {count:,} offsets of the log are not shown, because too many new events arrive."
                )
            case {"failed": count, "error": error}:
                self._say(f"{count:,} events are not shown, because --where fails on them: {error}")
            case {"trouble": sentence}:
                self._say(str(sentence))
            case _:
                # A heartbeat, or a line that only newer versions know.
                pass

    def _print(self, event: JsonObject) -> None:
        if self._as_json:
            typer.echo(exact_json(event).decode())
            return
        shown = line_of({**event, "changed_fields": event["data"].get("changed_fields")})
        line = "  ".join(str(value) for value in shown.values() if value)
        console().print(plain(line), soft_wrap=True)

    def _began(self) -> None:
        if self._lost_at is not None:
            gone_s = self._clock.now() - self._lost_at
            self._say(
                f"The daemon answers again after {gone_s:.0f} s. Events from the interruption are not "
                f"shown here: `streamer events find --since {gone_s + 60:.0f}s` shows these events."
            )
            self._lost_at = None
        elif not self._has_begun:
            self._say(f"This command shows new events of {self._api.url} until Ctrl-C.")
        self._has_begun = True

    def _lost(self, reason: str) -> None:
        if self._lost_at is None:
            self._lost_at = self._clock.now()
        self._say(f"{reason} The command retries until the daemon answers.")

    def _say(self, sentence: str) -> None:
        self._stderr.print(plain(f"streamer: {sentence}"))
