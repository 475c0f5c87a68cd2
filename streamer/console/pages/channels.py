"""Channels: whether they are read here, how far they are verified, and their holes."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from aiohttp import web

from streamer.channel_paths import ChannelKind
from streamer.console.context import PageContext
from streamer.errors import LogUnavailable
from streamer.events import Channel, JsonObject, Repair
from streamer.ingest.channel_supervisor import ChannelState


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelRow:
    """One configured channel: a `word` for its state, with a `reason`, and times in epoch seconds.

    `verified_at` is the time up to which no event is missing, and `expires_at`
    that from which Salesforce keeps the next ones no longer. `level` is `good`,
    `bad` or `quiet`.
    """

    path: str
    word: str
    level: str
    reason: str = ""
    owner: str = ""
    verified_at: float | None = None
    expires_at: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelPages:
    """`/console/channels`."""

    context: PageContext

    def routes(self) -> list[web.RouteDef]:
        """Return the routes of this page."""
        return [web.get("/channels", self._list)]

    async def _list(self, request: web.Request) -> web.Response:
        holes, positions, log_problem = list[JsonObject](), list[JsonObject](), ""
        try:
            holes = list(await self.context.recent.holes.records())
            positions = list(await self.context.recent.positions.records())
        except LogUnavailable as error:
            log_problem = str(error)
        return self.context.renderer.page(
            request,
            "channels.html",
            title="Channels",
            channels=channel_rows(self.context),
            positions=positions,
            log_problem=log_problem,
            open_holes=Counter(each["channel"] for each in holes if each["state"] == Repair.OPEN),
            lasting_holes=Counter(
                each["channel"] for each in holes if each["state"] in {Repair.PARTIAL, Repair.NONE}
            ),
        )


def channel_rows(context: PageContext) -> Sequence[ChannelRow]:
    """Return a row for each configured channel, in the order of the configuration."""
    owned = {channel.path: channel for channel in context.daemon.status.channels}
    return [_row(context, path, owned.get(path)) for path in context.daemon.configured.paths]


def _row(context: PageContext, path: str, channel: Channel | None) -> ChannelRow:
    status = context.daemon.status
    if channel is None:
        if not status.ingests:
            return ChannelRow(
                path=path, word="elsewhere", level="quiet", owner="a process that reads channels"
            )
        if not status.has_joined:
            return ChannelRow(path=path, word="starting", level="quiet", owner="not known yet")
        return ChannelRow(path=path, word="elsewhere", level="quiet", owner="another process")
    found = status.channels[channel]
    word, level = found.state.value, "bad"
    if found.state is ChannelState.RUNNING:
        is_subscribed = path in status.subscribed
        word, level = ("reading", "good") if is_subscribed else ("subscribing", "quiet")
    verified_at = status.supervisor.verified_at.get(channel) if status.supervisor else None
    # Salesforce itself repeats an outbound message until it is taken.
    is_retained = verified_at is not None and ChannelKind.of(path) is not ChannelKind.OUTBOUND
    return ChannelRow(
        path=path,
        word=word,
        level=level,
        reason=found.reason,
        owner="this process",
        verified_at=verified_at,
        expires_at=verified_at + channel.retention_s if is_retained and verified_at is not None else None,
    )
