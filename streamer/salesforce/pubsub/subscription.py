"""One Subscribe stream: its credit, its received messages, and its end."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import grpc
from google.protobuf.message import DecodeError

from streamer.clock import Clock
from streamer.eventbus import ConsumerEvent, FetchRequest
from streamer.eventbus.calls import SUBSCRIBE
from streamer.salesforce.pubsub.errors import CallEnded
from streamer.salesforce.pubsub.options import PubSubOptions
from streamer.salesforce.sessions import Reaction, SessionObserver

_DIVISOR = 8


@dataclass(slots=True)
class Credit:
    """Limit of the outstanding credit. The limit is lowered when an answer is too large to receive.

    The limit returns to `usual` after `usual` more events, because the large
    events have passed by then.
    """

    usual: int
    most: int = field(init=False)
    _used: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self.most = self.usual

    def lower(self) -> None:
        """Request fewer events at a time."""
        self.most, self._used = max(1, self.most // _DIVISOR), 0

    def used(self, events: int) -> None:
        """Count the events that have arrived."""
        self._used += events
        if self._used >= self.usual:
            self.most = self.usual


# Below this size, even empty events need little memory, so the parsed message can be counted.
_PARSED_FIRST = 64 * 1024
_EVENTS = 1
# Each field other than the events appears once.
_MOST_OTHERS = 64
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_LONGEST_VARINT = 10


class TooManyEvents(Exception):
    """An answer has more events than were requested."""


def check_event_count(raw: bytes, most: int) -> None:
    """Raise `TooManyEvents` if `raw` is a large FetchResponse with more than `most` events.

    Counting stops at that number. An empty event takes two bytes in `raw`, but
    fifty bytes after parsing. Raises `DecodeError` if `raw` is not a FetchResponse.
    """
    if len(raw) <= _PARSED_FIRST:
        return
    at = events = others = 0
    while at < len(raw):
        tag, at = _varint(raw, at)
        if tag >> 3 == _EVENTS:
            events += 1
            if events > most:
                raise TooManyEvents
        else:
            others += 1
            if others > _MOST_OTHERS:
                raise DecodeError("the FetchResponse has too many fields that are not events")
        at = _end_of_field(raw, at, tag & 7)


def _end_of_field(raw: bytes, at: int, wire_type: int) -> int:
    if wire_type == _BYTES:
        length, at = _varint(raw, at)
        return at + length
    if wire_type == _VARINT:
        return _varint(raw, at)[1]
    if wire_type in {_FIXED32, _FIXED64}:
        return at + (4 if wire_type == _FIXED32 else 8)
    raise DecodeError("the FetchResponse contains a protobuf group")


def _varint(raw: bytes, at: int) -> tuple[int, int]:
    value = 0
    for number, byte in enumerate(raw[at : at + _LONGEST_VARINT]):
        value |= (byte & 0x7F) << 7 * number
        if byte < 0x80:  # noqa: PLR2004 - the last byte of a varint
            return value, at + number + 1
    raise DecodeError("the FetchResponse contains an incomplete number")


# On an idle topic, an accepted subscription can have no answer for minutes; a refusal arrives at once.
_ACCEPTED_AFTER_S = 2.0
_REFUSED_WITHIN_S = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchedEvents:
    """One response: events, or the position in a keep-alive."""

    events: Sequence[ConsumerEvent]
    latest: bytes
    size: int


class SubscribeStream:
    """Client of one Subscribe stream.

    It receives messages at once, limited by the credit and a number of bytes, and
    keeps them while the log is busy. Only `top_up` grants credit. An answer with
    more events than the outstanding credit ends the stream, and its events are
    not parsed.
    """

    def __init__(
        self,
        call: "grpc.aio.StreamStreamCall[FetchRequest, bytes]",
        request: FetchRequest,
        options: PubSubOptions,
        clock: Clock,
        observer: SessionObserver,
        *,
        secret: str,
    ) -> None:
        """Take over a new call; `secret` is the call's access token, which no error may contain."""
        self._call = call
        self._request = request
        self._options = options
        self._clock = clock
        self._observer = observer
        self._secret = secret
        self._outstanding = 0
        self._waiting: list[FetchedEvents] = []
        self._waiting_events = self._waiting_bytes = 0
        self._end: CallEnded | None = None
        self._answered = asyncio.Event()
        self._arrived = asyncio.Event()
        self._taken = asyncio.Event()

    @property
    def is_exhausted(self) -> bool:
        """True if more events are likely: some have arrived, or the credit is used up."""
        return bool(self._waiting) or not self._outstanding

    @property
    def has_arrived(self) -> bool:
        """True if an answer has arrived and was not taken yet."""
        return bool(self._waiting)

    async def begin(self) -> None:
        """Send the first request, and return when Salesforce seems to have accepted the request.

        A stream without an answer counts as accepted if it has not ended after two
        seconds. Raises `CallEnded` if the stream ended before any message arrived.
        """
        await self._send(self._request)
        with suppress(TimeoutError):
            async with self._clock.timeout(_ACCEPTED_AFTER_S):
                await self._answered.wait()
            # A refusal can arrive after the headers.
            async with self._clock.timeout(_REFUSED_WITHIN_S):
                await self._arrived.wait()
        if self._end is not None and not self._waiting:
            raise self._end

    async def top_up(self, most: int) -> None:
        """If at least half of the credit is used, grant credit up to `most` events.

        Messages that were received but not taken count as outstanding credit.
        """
        open_events = self._outstanding + self._waiting_events
        if 2 * open_events <= most and self._end is None:
            credit = most - open_events
            topic = self._request.topic_name
            await self._send(FetchRequest(topic_name=topic, num_requested=credit))

    async def take(self, *, within_s: float) -> Sequence[FetchedEvents]:
        """Return all answers that have arrived, at least one.

        Raises `TimeoutError` if nothing arrives within `within_s`, and
        `CallEnded` if the stream has ended and all its answers were taken.
        """
        if not self._arrived.is_set():
            async with self._clock.timeout(within_s):
                await self._arrived.wait()
        if self._end is not None and not self._waiting:
            raise self._end
        taken, self._waiting = self._waiting, []
        self._waiting_events = self._waiting_bytes = 0
        self._taken.set()
        if self._end is None:
            self._arrived.clear()
        return taken

    async def receive(self) -> None:
        """Receive until the stream ends."""
        try:
            await self._call.initial_metadata()
            self._answered.set()
            async for raw in self._call:
                self._keep(raw)
                while self._waiting_bytes > self._options.held_bytes:
                    self._taken.clear()
                    await self._taken.wait()
        except grpc.aio.AioRpcError as error:
            self._end = CallEnded.by(error, secret=self._secret)
        except TooManyEvents:
            detail = f"the answer has more events than Streamer had requested ({self._outstanding})"
            self._end = CallEnded("beyond_credit", detail, reaction=Reaction.TRY_AGAIN)
        except DecodeError:
            self._end = CallEnded(
                "answer_broken", "the answer is not a valid FetchResponse", reaction=Reaction.TRY_AGAIN
            )
        else:
            self._end = CallEnded("closed", "Salesforce closed the stream", reaction=Reaction.HANDSHAKE)
        finally:
            if self._end is None:
                self._end = CallEnded("cancelled", "the stream was cancelled", reaction=Reaction.TRY_AGAIN)
            self._answered.set()
            self._arrived.set()

    def _keep(self, raw: bytes) -> None:
        check_event_count(raw, self._outstanding)
        response = SUBSCRIBE.response.FromString(raw)
        count = len(response.events)
        if count > self._outstanding:
            raise TooManyEvents
        answer = FetchedEvents(events=response.events, latest=response.latest_replay_id, size=len(raw))
        self._observer.answered(count, answer.size)
        self._outstanding -= count
        if self._waiting and not (count or self._waiting[-1].events):
            # The last of several keep-alives replaces the earlier ones.
            self._waiting.pop()
        self._waiting.append(answer)
        self._waiting_events += count
        self._waiting_bytes += answer.size
        self._arrived.set()

    async def _send(self, request: FetchRequest) -> None:
        self._outstanding += request.num_requested
        try:
            async with self._clock.timeout(self._options.request_timeout_s):
                await self._call.write(request)
        except TimeoutError as exc:
            detail = f"a request could not be sent in {self._options.request_timeout_s:g} s"
            raise CallEnded("overdue", detail, reaction=Reaction.TRY_AGAIN) from exc
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
            # The stream has ended. Earlier messages still count, and `receive` knows the reason.
            await self._arrived.wait()
