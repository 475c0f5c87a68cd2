"""Resource that previews, orders, lists and cancels redrives."""

import uuid
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field, replace

import structlog
from aiohttp import web

from streamer.admin.context import AdminContext
from streamer.admin.json_views import ended_redrive_json, filter_json, redrive_json, rfc3339
from streamer.admin.middleware import json_response
from streamer.admin.schemas import MOST_LETTERS, ApiError, ChangeRequest, RedriveRequest, body_of, conflict
from streamer.controls import (
    MAX_SKIPPED_CHARACTERS,
    AuditRecord,
    ControlState,
    LetterFilter,
    Redrive,
    can_be_ingested,
    can_be_redriven,
)
from streamer.dispatch.redrive import LetterPlaces, PlacedLetter, pages, superseded
from streamer.events import JsonObject, LetterHead, SubscriberName

_REMEDY = "narrow the filter, for example by time, or include superseded dead letters."
_log = structlog.get_logger()


@dataclass(slots=True, kw_only=True)
class RedrivePreview:
    """Counts of one subscriber's matching dead letters, and the ids of the `superseded` dead letters.

    For a configured subscriber, `deliverable` counts the dead letters whose event
    came from the log. For a configured channel, `deliverable` counts the dead
    letters that ingest can read again.
    """

    matching: int = 0
    deliverable: int = 0
    superseded: frozenset[str] = frozenset()
    reasons: Counter[str] = field(default_factory=Counter)

    def add(self, letter: LetterHead, *, is_deliverable: bool) -> None:
        """Count a matching `letter`."""
        self.matching += 1
        self.deliverable += is_deliverable
        self.reasons[letter.reason] += 1

    def as_json(self) -> JsonObject:
        """Return the counts."""
        return {
            "matching": self.matching,
            "deliverable": self.deliverable,
            "superseded": len(self.superseded),
            "by_reason": dict(self.reasons),
        }

    def skipped(self) -> frozenset[str]:
        """Return the superseded ids that an order skips. Raises `ApiError` if there are too many ids."""
        if sum(map(len, self.superseded)) > MAX_SKIPPED_CHARACTERS:
            raise ApiError(
                409,
                (f"{len(self.superseded)} superseded dead letters are too many for one redrive: {_REMEDY}"),
            )
        return self.superseded


async def redrive_previews(
    context: AdminContext, meant: LetterFilter, *, find_superseded: bool
) -> Mapping[SubscriberName | None, RedrivePreview]:
    """Return a preview for each subscriber; the key `None` has the dead letters of ingest.

    The search for superseded dead letters runs only with `find_superseded`. Raises
    `LogUnavailable`.
    """
    found: dict[SubscriberName | None, RedrivePreview] = defaultdict(RedrivePreview)
    compared: dict[SubscriberName, list[PlacedLetter]] = defaultdict(list)
    aside: dict[SubscriberName, LetterPlaces] = defaultdict(LetterPlaces)
    async with aclosing(context.log.controls.letter_cursor().heads()) as heads:
        async for head in heads:
            if find_superseded and head.subscriber is not None:
                aside[head.subscriber].add(head)
            if meant.admits(head) and _counted_letter(context, meant, head, found) and find_superseded:
                letter = PlacedLetter.of(head)
                compared[letter.subscriber].append(letter)
    for name, letters in compared.items():
        found[name].superseded = await _superseded_letters(context, name, letters, aside[name])
    return found


def _counted_letter(
    context: AdminContext,
    meant: LetterFilter,
    head: LetterHead,
    found: Mapping[SubscriberName | None, RedrivePreview],
) -> bool:
    """Count a dead letter, and return true if its subscriber can get the event again."""
    settings = context.daemon.plan.settings
    if meant.channel is not None:
        is_read = meant.channel in settings.paths
        found[None].add(head, is_deliverable=is_read and can_be_ingested(head))
        return False
    is_deliverable = head.subscriber in settings.subscribers and can_be_redriven(head)
    found[head.subscriber].add(head, is_deliverable=is_deliverable)
    return is_deliverable


async def _superseded_letters(
    context: AdminContext, name: SubscriberName, letters: list[PlacedLetter], aside: LetterPlaces
) -> frozenset[str]:
    plan = context.daemon.plan
    subscription, admits = plan.subscription(name), plan.admits(name)
    found = [
        await superseded(page, context.log, subscription, admits, aside=aside) for page in pages(letters)
    ]
    return frozenset().union(*found)


_ORDERED = "redrive.ordered"
_ENDED = "redrive.ended"
_CANCELLED = "redrive.cancelled"
_SUPERSEDED = "redrive.superseded"


@dataclass(frozen=True, slots=True, kw_only=True)
class RedriveResource:
    """`/dead-letters/redrive` and `/redrives`.

    The log stores an order. The processes that own the partitions of the order's dead
    letters, or their channel, carry out the order.
    """

    context: AdminContext

    def routes(self) -> list[web.RouteDef]:
        """Return the routes of this resource."""
        return [
            web.post("/dead-letters/redrive", self._redrive),
            web.get("/redrives", self._list),
            web.post("/redrives/{id}/cancel", self._cancel),
        ]

    async def redrive(self, asked: RedriveRequest) -> JsonObject:
        """Order redrives, or only preview them. Raises `ApiError` and `LogUnavailable`."""
        if asked.subscriber is not None:
            self.context.subscriber_settings(asked.subscriber)
        meant = asked.meant(self.context.clock.now())
        found = await redrive_previews(self.context, meant, find_superseded=not asked.include_superseded)
        orders = [] if asked.dry_run else await self._ordered(asked, meant, found)
        return {
            "until": rfc3339(meant.failed_before or 0),
            "dry_run": asked.dry_run,
            "subscribers": {name or "": each.as_json() for name, each in found.items()},
            **_sum(found),
            "redrives": [order.id for order in orders],
        }

    async def _ordered(
        self,
        asked: RedriveRequest,
        meant: LetterFilter,
        found: Mapping[SubscriberName | None, RedrivePreview],
    ) -> list[Redrive]:
        chosen = {
            name: each
            for name, each in found.items()
            if (name is not None or meant.channel is not None) and each.deliverable > len(each.superseded)
        }
        _check_free(await self.context.control_state(), chosen, meant.channel)
        orders = [
            (self._order(asked, replace(meant, subscriber=name), each.skipped()), each)
            for name, each in chosen.items()
        ]
        for order, each in orders:
            await self.context.log.controls.order(order, _audit(order, each))
            _log.info(_ORDERED, redrive=order.id, subscriber=order.letters.subscriber, by=order.by)
        return [order for order, _ in orders]

    def _order(self, asked: RedriveRequest, letters: LetterFilter, skipped: frozenset[str]) -> Redrive:
        return Redrive(
            id=uuid.uuid4().hex[:12],
            letters=letters,
            per_second=asked.per_second,
            by=asked.by,
            at=self.context.clock.now(),
            skipped=skipped,
            include_superseded=asked.include_superseded,
        )

    async def cancel(self, id_: str, asked: ChangeRequest) -> JsonObject:
        """End an open redrive. Raises `ApiError` and `LogUnavailable`."""
        order = _open(await self.context.control_state(), id_)
        left = (await self._left({order.id: order}))[order.id]
        now = self.context.clock.now()
        audit = AuditRecord(
            at=now,
            what=_CANCELLED,
            by=asked.by,
            subscriber=order.letters.subscriber,
            detail={"id": order.id, "left": left},
        )
        await self.context.log.controls.order(replace(order, ended_at=now), audit)
        _log.warning(_CANCELLED, redrive=order.id, subscriber=audit.subscriber, by=asked.by, left=left)
        # The log can take a moment to show the end, and the next request must find the end.
        await self.context.control_state(lambda board: order.id not in board.redrives)
        records = await self.context.log.controls.audit(last=MOST_LETTERS)
        return ended_redrive_json(
            audit,
            ordered=_ordered_by_id(records).get(order.id),
            superseded=_superseded_by_order(records)[order.id],
        )

    async def redrives(self) -> JsonObject:
        """Return the open redrives and the latest ended redrives. Raises `LogUnavailable`."""
        redrives = (await self.context.control_state()).redrives
        left = await self._left(redrives)
        records = await self.context.log.controls.audit(last=MOST_LETTERS)
        ordered = _ordered_by_id(records)
        ended = [each for each in records if each.what in {_ENDED, _CANCELLED}]
        superseded = _superseded_by_order(records)
        return {
            "redrives": [
                redrive_json(each, left=left[id_], begun_with=_begun_with(ordered.get(id_)))
                for id_, each in redrives.items()
            ],
            "ended": [
                ended_redrive_json(each, ordered=ordered.get(id_), superseded=superseded[id_])
                for each in ended
                for id_ in [each.detail.get("id")]
            ],
        }

    async def _redrive(self, request: web.Request) -> web.Response:
        answer = await self.redrive(await body_of(request, RedriveRequest))
        return json_response(answer, status=202 if answer["redrives"] else 200)

    async def _cancel(self, request: web.Request) -> web.Response:
        asked = await body_of(request, ChangeRequest)
        return json_response(await self.cancel(request.match_info["id"], asked))

    async def _list(self, _request: web.Request) -> web.Response:
        return json_response(await self.redrives())

    async def _left(self, redrives: Mapping[str, Redrive]) -> Counter[str]:
        left = Counter[str]()
        if not redrives:
            return left
        async with aclosing(self.context.log.controls.letter_cursor().heads()) as heads:
            async for head in heads:
                left.update(id_ for id_, redrive in redrives.items() if redrive.admits(head))
        return left


def _check_free(board: ControlState, names: Collection[SubscriberName | None], channel: str | None) -> None:
    for redrive in board.redrives.values():
        if redrive.letters.channel == channel and redrive.letters.subscriber in {None, *names}:
            raise conflict(redrive, "is still open")


def _open(board: ControlState, id_: str) -> Redrive:
    if id_ not in board.redrives:
        known = ", ".join(sorted(board.redrives)) or "none"
        raise ApiError(
            404,
            (
                "No open redrive has this id. Perhaps the redrive has ended: see `streamer audit`. Open "
                f"redrives: {known}."
            ),
        )
    return board.redrives[id_]


def _ordered_by_id(records: Iterable[AuditRecord]) -> dict[str | None, AuditRecord]:
    """Return the audit records of orders, by the ids of the redrives."""
    return {each.detail.get("id"): each for each in records if each.what == _ORDERED}


def _begun_with(ordered: AuditRecord | None) -> int | None:
    return None if ordered is None else ordered.detail.get("letters")


def _superseded_by_order(records: Iterable[AuditRecord]) -> Counter[str | None]:
    """For each order, count the dead letters that were superseded before their turn."""
    counts = Counter[str | None]()
    for each in records:
        if each.what == _SUPERSEDED:
            counts[each.detail.get("id")] += each.detail.get("letters", 0)
    return counts


def _audit(order: Redrive, preview: RedrivePreview) -> AuditRecord:
    detail: JsonObject = {
        "id": order.id,
        "letters": preview.deliverable - len(order.skipped),
        "left_out": len(order.skipped),
        "per_second": order.per_second,
        "meant": filter_json(order.letters),
    }
    return AuditRecord(
        at=order.at, what=_ORDERED, by=order.by, subscriber=order.letters.subscriber, detail=detail
    )


def _sum(found: Mapping[SubscriberName | None, RedrivePreview]) -> JsonObject:
    reasons: Counter[str] = sum((each.reasons for each in found.values()), Counter())
    return {
        "matching": sum(each.matching for each in found.values()),
        "deliverable": sum(each.deliverable for each in found.values()),
        "superseded": sum(len(each.superseded) for each in found.values()),
        "by_reason": dict(reasons),
    }
