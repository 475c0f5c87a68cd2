"""Resource of the channels' positions: lists positions with waiting orders, and takes new orders."""

import re
from dataclasses import dataclass, replace

import structlog
from aiohttp import web

from streamer.admin.checkpoint_effects import effect_json, outcome_of
from streamer.admin.context import AdminContext
from streamer.admin.json_views import continuity_json, optional_time, rfc3339
from streamer.admin.middleware import json_response
from streamer.admin.schemas import ApiError, OfChannel, PositionRequest, body_of
from streamer.channel_paths import ChannelKind
from streamer.clock import CLOCKS_DIFFER_S
from streamer.controls import AuditRecord, ChannelPosition, PositionOrder
from streamer.events import (
    LONGEST_REPLAY_ID,
    Channel,
    JsonObject,
    OrgId,
    ReplayId,
    is_of_cometd,
    optional_replay_text,
    replay_id_from_text,
)
from streamer.ports import StoredCheckpoint
from streamer.settings import ChannelSettings, Settings, Transport

_SEE = "`streamer checkpoint list` shows the stored ids."
_ID_INTEGER = re.compile(r"0|[1-9][0-9]{0,18}", re.ASCII)
_BASE64 = "base64:"
_log = structlog.get_logger()


def replay_id_of(text: str, transport: Transport) -> ReplayId:
    """Return the replay id in `text` for a channel that uses `transport`.

    Over CometD, a replay id is an integer of at most 64 bits, as in Salesforce's own
    client. Over the Pub/Sub API, a replay id is opaque. Salesforce has sent replay ids
    of 8 and 10 bytes; Streamer accepts 1 to 256 bytes. Raises `ApiError` 400 with the
    expected form.
    """
    if transport is Transport.COMETD:
        return _id_of_integer(text)
    return _id_of_bytes(text)


def _id_of_integer(text: str) -> ReplayId:
    if not _ID_INTEGER.fullmatch(text):
        raise ApiError(
            400,
            "replay_id: must be an integer of at most 19 digits without leading zeros, because Streamer "
            f"reads the channel over CometD. {_SEE} For new events use `--latest`, and for all retained "
            "events `--earliest`.",
        )
    return ReplayId(text.encode())


def _id_of_bytes(text: str) -> ReplayId:
    try:
        replay_id = replay_id_from_text(text if text.startswith(_BASE64) else f"{_BASE64}{text}")
    except ValueError:
        raise ApiError(400, f"{_expected_form()} {_SEE}") from None
    if text.startswith(_BASE64) and 0 < len(replay_id) <= LONGEST_REPLAY_ID:
        if is_of_cometd(replay_id):
            raise ApiError(
                400, f"{_expected_form()} The given bytes are the digits of a CometD replay id. {_SEE}"
            )
        return replay_id
    if 0 < len(replay_id) <= LONGEST_REPLAY_ID and not text.isdigit():
        raise ApiError(
            400,
            (
                f"{_expected_form()} If the given text is the replay id in Base64, write {_BASE64}{text}. "
                f"{_SEE}"
            ),
        )
    raise ApiError(400, f"{_expected_form()} {_SEE}")


def _expected_form() -> str:
    return (
        f"replay_id: must be {_BASE64}… with 1 to {LONGEST_REPLAY_ID} bytes, because the channel uses the "
        "Pub/Sub API."
    )


def checkpoint_json(
    path: str, stored: StoredCheckpoint | None, settings: Settings, order: PositionOrder | None
) -> JsonObject:
    """Return the position of the channel at `path`, and the waiting `order` to change it.

    `stored` is `None` if the log has no checkpoint of the channel. `transport`
    comes from the configuration, or from the replay id if the channel is not
    configured.
    """
    checkpoint = stored.checkpoint if stored else None
    rules = {each.path: each for each in settings.channels}.get(path)
    replay_id = (checkpoint.open_replay_id or checkpoint.replay_id) if checkpoint else None
    verified_at = (checkpoint.verified_at or None) if checkpoint else None
    transport = None if replay_id is None else "cometd" if is_of_cometd(replay_id) else "pubsub"
    return {
        "channel": path,
        "org": checkpoint.channel.org if checkpoint else None,
        "configured": path in settings.paths or rules is not None,
        "transport": str(settings.transport_of(rules)) if rules else transport,
        "replay_id": optional_replay_text(replay_id),
        "complete_replay_id": optional_replay_text(checkpoint.replay_id) if checkpoint else None,
        "verified_at": optional_time(verified_at),
        "positioned_at": optional_time(checkpoint.positioned_at) if checkpoint else None,
        "stored_at": optional_time(stored.stored_at) if stored else None,
        "expires_at": rfc3339(checkpoint.channel.expires_at(verified_at))
        if checkpoint and verified_at
        else None,
        "owner": stored.owner if stored else "",
        "order": order_json(order) if order else None,
    }


def order_json(order: PositionOrder) -> JsonObject:
    """Return an order to change a position."""
    return {
        "id": order.id,
        "channel": order.channel,
        "place": order.place,
        "replay_id": optional_replay_text(order.replay_id),
        "since": optional_time(order.since),
        "repeat": order.repeat,
        "by": order.by,
        "at": rfc3339(order.at),
    }


_REPEATED = frozenset({ChannelPosition.EARLIEST, ChannelPosition.SINCE, ChannelPosition.START})


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointResource:
    """`/checkpoints`.

    The log stores an order. The process that owns the channel carries out the order
    and writes a continuity record with the same id. The response waits some seconds
    for this record.
    """

    context: AdminContext

    def routes(self) -> list[web.RouteDef]:
        """Return the routes of this resource."""
        return [
            web.get("/checkpoints", self._list),
            web.post("/checkpoints", self._set),
            web.post("/checkpoints/cancel", self._cancel),
        ]

    async def positions(self) -> list[JsonObject]:
        """Return the position of each channel, and the waiting order to change it.

        Raises `LogUnavailable`.
        """
        stored = await self._stored()
        orders = {each.channel: each for each in await self._orders()}
        settings = self.context.daemon.plan.settings
        paths = dict.fromkeys([*settings.paths, *stored, *orders])
        return [checkpoint_json(path, stored.get(path), settings, orders.get(path)) for path in paths]

    async def order(self, asked: PositionRequest) -> JsonObject:
        """Order a move to another position, or with `dry_run`, only describe the effect of the move.

        A new order replaces a waiting order. The answer's `outcome` is the order's
        continuity record, or `None` while the order waits. Raises `LogUnavailable` and
        `ApiError`, with status 409 if Salesforce refuses the position.
        """
        rules = self._rules(asked.channel)
        order = self._order(asked, rules)
        stored = (await self._stored()).get(order.channel)
        channel = stored.checkpoint.channel if stored else Channel(org=OrgId(""), path=order.channel)
        checkpoint = stored.checkpoint if stored else None
        effect = await effect_json(self.context.log, order, rules, channel, checkpoint, order.at)
        answer = {**order_json(order), "effect": effect, "outcome": None}
        if asked.dry_run:
            return answer
        for former in await self._orders(order.channel):
            await self._end(former, asked.by)
        await self.context.log.controls.order_position(order, _audit(order, "position.ordered"))
        _log.warning(
            "position.ordered", order=order.id, channel=order.channel, place=order.place, by=order.by
        )
        record = await outcome_of(self.context, order, within_s=asked.wait_s)
        return {**answer, "outcome": continuity_json(record) if record is not None else None}

    async def cancel(self, asked: OfChannel) -> JsonObject:
        """Cancel the waiting orders for a channel.

        Raises `LogUnavailable`, and `ApiError` 404 if no order waits.
        """
        orders = await self._orders(asked.channel)
        if not orders:
            raise ApiError(
                404, "No order waits for this channel; `streamer checkpoint list` shows the waiting orders."
            )
        for order in orders:
            await self._end(order, asked.by)
        return {"cancelled": [order_json(each) for each in orders]}

    async def _list(self, request: web.Request) -> web.Response:  # noqa: ARG002 - aiohttp's signature
        return json_response({"checkpoints": await self.positions()})

    async def _set(self, request: web.Request) -> web.Response:
        asked = await body_of(request, PositionRequest)
        answer = await self.order(asked)
        is_done = asked.dry_run or answer["outcome"] is not None
        return json_response(answer, status=200 if is_done else 202)

    async def _cancel(self, request: web.Request) -> web.Response:
        return json_response(await self.cancel(await body_of(request, OfChannel)))

    async def _end(self, order: PositionOrder, by: str) -> None:
        now = self.context.clock.now()
        audit = replace(_audit(order, "position.cancelled"), by=by, at=now)
        await self.context.log.controls.order_position(replace(order, ended_at=now), audit)

    async def _stored(self) -> dict[str, StoredCheckpoint]:
        """Return the checkpoints by path. If several orgs share a path, the latest checkpoint counts."""
        found = list(await self.context.log.stored_checkpoints())
        found.sort(key=lambda each: each.stored_at or 0.0)
        return {each.checkpoint.channel.path: each for each in found}

    async def _orders(self, path: str | None = None) -> list[PositionOrder]:
        board = await self.context.control_state()
        orders = sorted(board.positions.values(), key=lambda each: each.at)
        return [each for each in orders if path in {None, each.channel}]

    def _rules(self, path: str) -> ChannelSettings:
        channels = {each.path: each for each in self.context.daemon.plan.settings.channels}
        if path in channels:
            return channels[path]
        if ChannelKind.of(path) is ChannelKind.OUTBOUND:
            raise ApiError(
                400,
                (
                    "A channel of outbound messages has no position, because Salesforce repeats "
                    "unacknowledged messages."
                ),
            )
        known = ", ".join(channels) or "none"
        raise ApiError(404, f"No configured channel has this path; configured channels: {known}.")

    def _order(self, asked: PositionRequest, rules: ChannelSettings) -> PositionOrder:
        now = self.context.clock.now()
        since = asked.since.timestamp() if asked.since else None
        if (since is not None) is not (asked.place is ChannelPosition.SINCE):
            raise ApiError(400, "since: is required if `place` is since, and is not allowed otherwise.")
        if since is not None and not 0 < since <= now + CLOCKS_DIFFER_S:
            raise ApiError(400, "since: must be a time since 1970 that is not in the future.")
        if (asked.replay_id is not None) is not (asked.place is ChannelPosition.REPLAY_ID):
            raise ApiError(
                400, "replay_id: is required if `place` is replay_id, and is not allowed otherwise."
            )
        if asked.repeat and asked.place not in _REPEATED:
            raise ApiError(
                400,
                "repeat: works only if `place` is earliest or since. After a replay id, Streamer does "
                "not know which events it repeats; with new events, there is nothing to repeat.",
            )
        return PositionOrder(
            id=PositionOrder.new_id(),
            channel=asked.channel,
            place=asked.place,
            replay_id=None if asked.replay_id is None else self._replay_id(asked.replay_id, rules),
            since=since,
            repeat=asked.repeat,
            by=asked.by,
            at=now,
        )

    def _replay_id(self, text: str, rules: ChannelSettings) -> ReplayId:
        return replay_id_of(text, self.context.daemon.plan.settings.transport_of(rules))


def _audit(order: PositionOrder, what: str) -> AuditRecord:
    detail: JsonObject = {"id": order.id, "channel": order.channel, "place": str(order.place)}
    if order.since is not None:
        detail["since"] = rfc3339(order.since)
    if order.replay_id is not None:
        detail["replay_id"] = optional_replay_text(order.replay_id)
    if order.repeat:
        detail["repeat"] = True
    return AuditRecord(at=order.at, what=what, by=order.by, detail=detail)
