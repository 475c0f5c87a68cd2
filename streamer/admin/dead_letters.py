"""Resource that lists, shows and discards dead letters."""

import heapq
import itertools
from collections import Counter
from collections.abc import Collection, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field

import structlog
from aiohttp import web

from streamer.admin.context import AdminContext
from streamer.admin.json_views import filter_json, letter_detail, letter_summary, rfc3339
from streamer.admin.middleware import json_response
from streamer.admin.schemas import ApiError, Chosen, Listing, body_of, conflict, query_of
from streamer.controls import AuditRecord, LetterFilter, Redrive
from streamer.events import JsonObject, LetterHead

_log = structlog.get_logger()

# Kafka's producer holds at most 100,000 records.
_DISCARDED_AT_ONCE = 20_000


@dataclass(slots=True, kw_only=True)
class LetterCounts:
    """Counts of dead letters, by reason and by subscriber."""

    total: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    subscribers: Counter[str] = field(default_factory=Counter)

    def add(self, letter: LetterHead) -> None:
        """Count `letter`."""
        self.total += 1
        self.reasons[letter.reason] += 1
        self.subscribers[letter.subscriber or ""] += 1

    def as_json(self) -> JsonObject:
        """Return the counts. The subscriber's name is empty for dead letters that ingest set aside."""
        return {
            "total": self.total,
            "by_reason": dict(self.reasons),
            "by_subscriber": dict(self.subscribers),
        }


class LatestLetters:
    """Summaries of the latest dead letters; of all added dead letters, at most `count` are kept."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._kept: list[tuple[float, int, JsonObject]] = []
        self._order = itertools.count()

    def add(self, letter: LetterHead) -> None:
        """Keep the summary of `letter` until `count` later dead letters were added."""
        if len(self._kept) < self._count:
            heapq.heappush(self._kept, (letter.failed_at, next(self._order), letter_summary(letter)))
        elif letter.failed_at > self._kept[0][0]:
            heapq.heapreplace(self._kept, (letter.failed_at, next(self._order), letter_summary(letter)))

    def lines(self) -> list[JsonObject]:
        """Return the summaries, the newest last."""
        return [line for *_, line in sorted(self._kept, key=lambda kept: kept[:2])]


@dataclass(frozen=True, slots=True, kw_only=True)
class LetterResource:
    """`/dead-letters`, except for redrives."""

    context: AdminContext

    def routes(self) -> list[web.RouteDef]:
        """Return the routes of this resource."""
        return [
            web.get("/dead-letters", self._list),
            web.post("/dead-letters/discard", self._discard),
            web.get("/dead-letters/{id:.+}", self._show),
        ]

    async def letters(self, asked: Listing) -> JsonObject:
        """Return counts of the dead letters that match a filter, and the latest matches.

        Raises `LogUnavailable`.
        """
        latest, counts = LatestLetters(asked.last), LetterCounts()
        admits = asked.meant(self.context.clock.now()).admits
        async with aclosing(self.context.log.controls.letter_cursor().heads()) as heads:
            async for head in heads:
                if admits(head):
                    counts.add(head)
                    latest.add(head)
        return {**counts.as_json(), "letters": latest.lines()}

    async def letter(self, id_: str) -> JsonObject:
        """Return all fields of one dead letter.

        Raises `LogUnavailable`, and `ApiError` 404 for an unknown id.
        """
        cursor = self.context.log.controls.letter_cursor()
        async with aclosing(cursor.heads()) as heads:
            is_there = any([head.id == id_ async for head in heads])
        async with aclosing(cursor.letters([id_] if is_there else [])) as letters:
            async for letter in letters:
                return letter_detail(letter)
        raise ApiError(
            404,
            f"No dead letter has the id {id_}. Perhaps the dead letter was redriven or discarded; "
            "`streamer deadletters list` shows the remaining dead letters.",
        )

    async def discard(self, asked: Chosen) -> JsonObject:
        """Remove the dead letters that match a filter for good, or only count them.

        Raises `ApiError` and `LogUnavailable`.
        """
        now = self.context.clock.now()
        meant = asked.meant(now)
        orders = () if asked.dry_run else (await self.context.control_state()).redrives.values()
        counts, ids = await self._count(meant, orders)
        if not asked.dry_run:
            # Counting many dead letters takes a while, and an operator can order a redrive during
            # this time.
            if (await self.context.control_state()).redrives.keys() - {order.id for order in orders}:
                raise ApiError(
                    409,
                    (
                        "An operator ordered a redrive while Streamer counted the dead letters: send the "
                        "request again."
                    ),
                )
            await self._discard_all(ids, asked, {"meant": filter_json(meant)})
        return {**counts.as_json(), "until": rfc3339(meant.failed_before or now), "dry_run": asked.dry_run}

    async def _list(self, request: web.Request) -> web.Response:
        return json_response(await self.letters(query_of(request, Listing)))

    async def _show(self, request: web.Request) -> web.Response:
        return json_response(await self.letter(request.match_info["id"]))

    async def _discard(self, request: web.Request) -> web.Response:
        return json_response(await self.discard(await body_of(request, Chosen)))

    async def _discard_all(self, ids: Sequence[str], asked: Chosen, detail: JsonObject) -> None:
        for begin in range(0, len(ids), _DISCARDED_AT_ONCE):
            some = ids[begin : begin + _DISCARDED_AT_ONCE]
            audit = AuditRecord(
                at=self.context.clock.now(),
                what="deadletters.discarded",
                by=asked.by,
                subscriber=asked.subscriber,
                detail={"letters": len(some), **detail},
            )
            await self.context.log.controls.discard(some, audit)
            _log.warning("deadletters.discarded", by=asked.by, letters=len(some), **detail)

    async def _count(
        self, meant: LetterFilter, orders: Collection[Redrive]
    ) -> tuple[LetterCounts, list[str]]:
        counts, ids = LetterCounts(), list[str]()
        async with aclosing(self.context.log.controls.letter_cursor().heads()) as heads:
            async for head in heads:
                if meant.admits(head):
                    _check_free(head, orders)
                    counts.add(head)
                    ids.append(head.id)
        return counts, ids


def _check_free(letter: LetterHead, orders: Collection[Redrive]) -> None:
    # A dead letter that a redrive is delivering must not be removed.
    for order in orders:
        if order.admits(letter):
            raise conflict(order, "is open and covers some of these dead letters")
