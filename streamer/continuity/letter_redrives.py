"""Redrives of one channel's dead letters: a few at a time, letters are read again with the current rules."""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, NamedTuple, TypeVar

import orjson
import structlog

from streamer.backoff import Backoff, Delays
from streamer.channel_paths import without_filter
from streamer.clock import Clock
from streamer.controls import Redrive
from streamer.errors import RetryLater, Stop, StreamerError, UnreadableEvent
from streamer.events import Channel, DeadLetter, Event, JsonObject, Unreadable, is_of_cometd
from streamer.exact_json import OversizedJson, bounded_json
from streamer.ingest.reading.message_reader import unprotected_event
from streamer.ingest.repairs import Repaired
from streamer.normalise import Normaliser
from streamer.normalise.malformed import from_epoch_ms
from streamer.ports import Controls, LetterCursor, PayloadReader

_log = structlog.get_logger()


def is_stored(letter: DeadLetter) -> bool:
    """Return true for a letter of a readable, protected event that the log refused."""
    return letter.reason == "refused_by_log"


@dataclass(frozen=True, slots=True, kw_only=True)
class LetterDecoder:
    """Reads one channel's dead letters in the same way as its messages.

    `unsealed` returns the bytes of a letter, and raises `UnreadableEvent`.
    `payloads` decodes payloads of the Pub/Sub API; without `payloads`, letters with
    such payloads can't be read.
    """

    channel: Channel
    normalise: Normaliser
    unsealed: Callable[[DeadLetter], bytes]
    clock: Clock
    payloads: PayloadReader | None = None

    async def events(self, letter: DeadLetter) -> Sequence[Event]:
        """Return the events of `letter` at their own positions, with `redriven` in their data.

        Raises `UnreadableEvent` if the letter can't be read; the error quotes no
        encrypted content. Otherwise raises the errors of `PayloadReader`.
        """
        events = [_stored_event(letter)] if is_stored(letter) else await self._read(letter)
        redriven = {
            "set_aside_at": _time(letter.first_failed_at),
            "redriven_at": _time(self.clock.now()),
        }
        return [replace(event, data={**event.data, "redriven": redriven}) for event in events]

    async def _read(self, letter: DeadLetter) -> list[Event]:
        raw = self.unsealed(letter)
        is_secret = raw is not letter.raw
        if (event := unprotected_event(raw)) is not None and event.channel == self.channel.path:
            return [event]
        message = await self._message(raw, letter)
        read = [message] if isinstance(message, Unreadable) else self.normalise([message])
        events: list[Event] = []
        for item in read:
            if isinstance(item, Unreadable):
                raise UnreadableEvent(
                    (item.summary or "The message can't be decoded") if is_secret else item.error
                )
            events.append(item)
        return events

    async def _message(self, raw: bytes, letter: DeadLetter) -> JsonObject | Unreadable:
        try:
            message = bounded_json(raw)
        except OversizedJson as error:
            raise UnreadableEvent(f"the JSON of the message is too large: {error}") from None
        except orjson.JSONDecodeError as error:
            if _is_of_cometd(letter):
                raise UnreadableEvent(f"the message is not JSON: {error}") from None
            return await self._decoded(raw, letter)
        if not isinstance(message, dict) and letter.schema_id and not _is_of_cometd(letter):
            # A binary payload can be valid JSON by chance.
            return await self._decoded(raw, letter)
        return self._placed(message, letter)

    async def _decoded(self, raw: bytes, letter: DeadLetter) -> JsonObject | Unreadable:
        if not letter.schema_id:
            raise UnreadableEvent("the payload's schema is unknown")
        if self.payloads is None:
            raise UnreadableEvent(
                "only the Pub/Sub API can supply the payload's schema, and no channel uses that "
                "API: set transport: pubsub"
            )
        piece = Unreadable(
            raw=raw,
            error="",
            replay_id=letter.replay_id,
            schema_id=letter.schema_id,
            event_uuid=letter.event_uuid,
        )
        return await self.payloads.message(piece, self.channel)

    def _placed(self, message: Any, letter: DeadLetter) -> JsonObject:
        """Return the message with its binary position.

        Raises `UnreadableEvent` for a message of another channel.
        """
        if not isinstance(message, dict) or not isinstance(message.get("data"), dict):
            raise UnreadableEvent("the bytes are not a message of a Salesforce channel")
        path = message.get("channel")
        if type(path) is not str or without_filter(path) != without_filter(self.channel.path):
            raise UnreadableEvent(f"the message does not belong to the channel {self.channel.path}")
        data = message["data"]
        if letter.replay_id is None or _is_of_cometd(letter) or not isinstance(data.get("event"), dict):
            return message
        about = {**data["event"], "replayId": bytes(letter.replay_id)}
        return {**message, "data": {**data, "event": about}}


def _is_of_cometd(letter: DeadLetter) -> bool:
    """Return true if the letter has no position of the Pub/Sub API."""
    return letter.replay_id is None or is_of_cometd(letter.replay_id)


def _stored_event(letter: DeadLetter) -> Event:
    if letter.event is None:
        raise UnreadableEvent("the event's data can't be written as JSON")
    try:
        data = bounded_json(letter.raw)
    except ValueError as error:
        raise UnreadableEvent(f"the event's data are not JSON: {error}") from None
    if not isinstance(data, dict):
        raise UnreadableEvent("the event's data are not a JSON object")
    return replace(letter.event, data=data)


def _time(at: float) -> str:
    return from_epoch_ms(round(at * 1000))


_BACKOFF = Backoff(first_s=2.0, limit_s=300.0)
_LONGEST_STEP_S = 10.0
_LONGEST_ERROR = 500
_LATE_S = 1.0
# Limits in letters and bytes: first for letters kept in memory, then for one append.
_MOST_FOUND, _MOST_FOUND_BYTES = 500, 8 * 1024 * 1024
_MOST_APPENDED, _MOST_APPENDED_BYTES = 50, 2 * 1024 * 1024
_Answer = TypeVar("_Answer")


class _ListedLetter(NamedTuple):
    first_failed_at: float
    id: str
    size: int


@dataclass(slots=True, kw_only=True)
class _Listing:
    """Letters of an order: `found` are in memory, `left` remain, and `unread` had disappeared."""

    order: str
    cursor: LetterCursor
    found: list[DeadLetter] = field(default_factory=list)
    left: deque[_ListedLetter] = field(default_factory=deque)
    unread: set[str] = field(default_factory=set)

    def next_page(self) -> list[_ListedLetter]:
        """Remove and return letters that fit into memory together, at least one."""
        page = [self.left.popleft()]
        size = page[0].size
        while self.left and len(page) < _MOST_FOUND and size + self.left[0].size <= _MOST_FOUND_BYTES:
            size += self.left[0].size
            page.append(self.left.popleft())
        return page


@dataclass(slots=True)
class _Orders:
    """Orders of one channel by id; `over` are finished orders that are not removed yet."""

    all: Mapping[str, Redrive] = field(default_factory=dict)
    over: set[str] = field(default_factory=set)
    wake: Callable[[], None] = lambda: None

    def follow(self, orders: Mapping[str, Redrive]) -> None:
        """Replace the orders."""
        self.all = orders
        self.over &= orders.keys()
        self.wake()

    @property
    def first(self) -> Redrive | None:
        """Oldest open order, or `None`."""
        left = [each for name, each in self.all.items() if name not in self.over]
        return min(left, key=lambda each: (each.at, each.id), default=None)


@dataclass(slots=True, kw_only=True)
class LetterRedrives:
    """Executes the orders to redrive dead letters of the decoder's channel, one after another.

    Letters are read in the order in which they were first set aside. One
    transaction appends their events and removes the letters. A letter that still
    can't be read stays, with the new reason and the current time. Because of this
    time, the order no longer covers the letter. A transient failure is retried with
    back-off. `ended` is called when an order has no letters left.
    """

    controls: Controls
    decoder: LetterDecoder
    clock: Clock
    ended: Callable[[Redrive], None]
    _orders: _Orders = field(default_factory=_Orders, init=False)
    _listing: _Listing | None = field(default=None, init=False)
    _late: "tuple[str, asyncio.Task[Any]] | None" = field(default=None, init=False)
    _delays: Delays = field(default_factory=lambda: Delays(_BACKOFF), init=False)

    @property
    def has_work(self) -> bool:
        """True while an order is open."""
        return self._orders.first is not None

    def resume(self, wake: Callable[[], None]) -> None:
        """Set `wake`, which is called when the orders change."""
        self._orders.wake = wake

    def follow(self, orders: Mapping[str, Redrive]) -> None:
        """Execute these `orders` of the channel, by id, and no other orders."""
        self._orders.follow(orders)

    async def step(self) -> Repaired:
        """Return the events of the next letters: see `streamer.ingest.repairs.Repairs`."""
        order = self._orders.first
        if order is None:
            return Repaired()
        try:
            listing = self._listing
            if listing is None or listing.order != order.id:
                cursor = self.controls.letter_cursor()
                listing = self._listing = _Listing(order=order.id, cursor=cursor)
            if not listing.found:
                found = partial(self._found, order, listing)
                listing.found = await self._awaited(f"order {order.id}", found)
            if listing.found:
                return await self._redriven(order, listing.found)
        except TimeoutError:
            # Other repairs continue meanwhile.
            return Repaired(again_in_s=_LATE_S)
        except StreamerError as error:
            return self._waiting(order, error)
        # The last step's result is durable, because its letters were not found again.
        self._orders.over.add(order.id)
        self.ended(order)
        return Repaired()

    async def _found(self, order: Redrive, listing: _Listing) -> list[DeadLetter]:
        """Return the next letters of an order, or an empty list if no letter is left."""
        while True:
            if not listing.left:
                # The final look also finds letters whose removal failed.
                await self._list(listing, order)
            if not listing.left:
                return []
            page = listing.next_page()
            async with aclosing(listing.cursor.letters([head.id for head in page])) as letters:
                found = {letter.id: letter async for letter in letters if order.admits(letter)}
            listing.unread |= {head.id for head in page} - found.keys()
            if found:
                # Keep the order of the list.
                return [found[head.id] for head in page if head.id in found]

    async def _list(self, listing: _Listing, order: Redrive) -> None:
        listing.cursor = self.controls.letter_cursor()
        channel = self.decoder.channel
        async with aclosing(listing.cursor.heads()) as heads:
            left = [
                _ListedLetter(head.first_failed_at, head.id, head.size)
                async for head in heads
                if order.admits(head) and head.channel in {str(channel), channel.path}
            ]
        # Letters of one answer can have the same time; the log lists them in their order.
        left.sort(key=lambda head: head.first_failed_at)
        listing.left = deque(head for head in left if head.id not in listing.unread)

    async def _redriven(self, order: Redrive, letters: list[DeadLetter]) -> Repaired:
        events: list[Event] = []
        redriven: list[str] = []
        set_aside: list[DeadLetter] = []
        are_stored, taken, size = is_stored(letters[0]), 0, 0
        for letter in letters[: max(1, min(_MOST_APPENDED, int(order.per_second)))]:
            if is_stored(letter) is not are_stored or size > _MOST_APPENDED_BYTES:
                break
            try:
                read = await self._read(letter)
            except (TimeoutError, RetryLater, Stop):
                if not taken:
                    raise
                break
            taken += 1
            size += len(letter.raw)
            if isinstance(read, str):
                set_aside.append(self._kept(letter, read, order))
            else:
                events += read
                redriven.append(letter.id)
        del letters[:taken]
        self._delays.reset()
        _log.info(
            "letters.redriven",
            channel=str(self.decoder.channel),
            redrive=order.id,
            letters=len(redriven),
            events=len(events),
            unread=len(set_aside),
        )
        return Repaired(
            stored=events if are_stored else (),
            events=() if are_stored else events,
            redriven=redriven,
            set_aside=set_aside,
            again_in_s=taken / order.per_second,
        )

    async def _read(self, letter: DeadLetter) -> Sequence[Event] | str:
        """Return the events of `letter`, or the reason why the letter can't be read."""
        try:
            return await self._awaited(f"letter {letter.id}", partial(self.decoder.events, letter))
        except (TimeoutError, RetryLater, Stop):
            raise
        except StreamerError as error:
            return str(error)
        except Exception as error:  # noqa: BLE001 - a bad letter must not affect the other letters
            # The error's message can quote a value.
            return type(error).__name__

    def _kept(self, letter: DeadLetter, reason: str, order: Redrive) -> DeadLetter:
        # Another process's clock dated the order. An earlier time would redrive the letter again.
        now = max(self.clock.now(), order.letters.failed_before or 0.0)
        return replace(
            letter,
            error=f"The dead letter still can't be read: {reason}"[:_LONGEST_ERROR],
            first_error=letter.first_error or letter.error,
            failed_at=now,
            attempts=letter.attempts + 1,
        )

    async def _awaited(self, what: str, begin: Callable[[], Coroutine[Any, Any, _Answer]]) -> _Answer:
        """Return the result of `begin`.

        After a `TimeoutError`, the next call for `what` returns the result.
        """
        if self._late is None or (self._late[0] != what and self._late[1].done()):
            task = asyncio.create_task(begin(), name=f"redrive {self.decoder.channel}")
            task.add_done_callback(_retrieved)
            self._late = what, task
        if self._late[0] != what:
            raise TimeoutError
        task = self._late[1]
        async with self.clock.timeout(_LONGEST_STEP_S):
            # A request can renew the token, and a cancelled renewal can lose the token.
            await asyncio.wait([task])
        self._late = None
        answer: _Answer = task.result()
        return answer

    def _waiting(self, order: Redrive, error: StreamerError) -> Repaired:
        asked_s = error.after_s if isinstance(error, RetryLater) else None
        pause_s = max(asked_s or 0.0, self._delays.next_s())
        _log.warning("redrive.waits", redrive=order.id, reason=str(error), tried_again_in_s=round(pause_s, 1))
        return Repaired(again_in_s=pause_s)


def _retrieved(task: "asyncio.Task[Any]") -> None:
    # Reading the exception stops asyncio from reporting it.
    if not task.cancelled():
        task.exception()
