"""Publisher over the Pub/Sub API, with the topics and their current schemas."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from streamer.clock import Clock
from streamer.errors import PublishingRefused, SalesforceUnavailable, StreamerError
from streamer.eventbus import ErrorCode, ProducerEvent, PublishRequest, SchemaRequest, TopicRequest
from streamer.eventbus import PublishResult as Answer
from streamer.eventbus.calls import GET_SCHEMA, GET_TOPIC, PUBLISH
from streamer.events import LONGEST_REPLAY_ID, ReplayId
from streamer.ports import OutgoingEvent, Published, PublishResult, Unanswered, Unpublished
from streamer.salesforce.publish.avro_encoder import DatumEncoder, FieldRefused
from streamer.salesforce.publish.calls import (
    MOST_BYTES,
    MOST_EVENTS,
    Calls,
    refused_event,
    refused_topic,
    too_large,
)
from streamer.salesforce.pubsub.avro import UnusableSchema
from streamer.salesforce.rest_requests import in_requests

# A refused event can need a newer schema. Many refused events cause only one request in this time.
_FRESH_S = 10.0
# Bytes for the tag and the length of an event in its request.
_FRAME_BYTES = 8

Results = dict[int, PublishResult]
_Numbered = tuple[int, ProducerEvent]


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishTopic:
    """Topic with the encoder of its schema, fetched `at` a time of the monotonic clock."""

    name: str
    encoder: DatumEncoder
    at: float

    @property
    def path(self) -> str:
        """Name of the topic in the Pub/Sub API."""
        return f"/event/{self.name}"

    @property
    def schema_id(self) -> str:
        """Id of the schema."""
        return self.encoder.schema_id


class TopicCache:
    """Cache of topics; concurrent callers share one fetch."""

    def __init__(self, calls: Calls, clock: Clock) -> None:
        self._calls = calls
        self._clock = clock
        self._lock = asyncio.Lock()
        self._known: dict[str, PublishTopic] = {}

    async def get(self, name: str) -> PublishTopic:
        """Return a topic. Raises a `RetryLater`, or a `Stop` such as `PublishingRefused`."""
        return self._known.get(name) or await self._fetched(name, other_than=None)

    async def newer(self, topic: PublishTopic, *, at_once: bool) -> PublishTopic:
        """Return the topic with its current schema. Raises the errors of `get`.

        Unless `at_once` is set, a topic that was fetched within the last ten
        seconds counts as current.
        """
        if not at_once and self._clock.monotonic() - topic.at < _FRESH_S:
            return topic
        return await self._fetched(topic.name, other_than=topic)

    def forget(self, topic: PublishTopic) -> None:
        """Forget the topic, so that the next `get` fetches the topic again."""
        if self._known.get(topic.name) is topic:
            del self._known[topic.name]

    async def _fetched(self, name: str, *, other_than: PublishTopic | None) -> PublishTopic:
        async with self._lock:
            known = self._known.get(name)
            if known is not None and known is not other_than:
                return known
            self._known[name] = topic = await self._fetch(name, other_than)
            return topic

    async def _fetch(self, name: str, former: PublishTopic | None) -> PublishTopic:
        path = f"/event/{name}"
        info = await self._calls.ask(GET_TOPIC, TopicRequest(topic_name=path), topic=path)
        if not info.can_publish:
            raise refused_topic(path, "the user can't publish this event")
        if former is not None and former.schema_id == info.schema_id:
            encoder = former.encoder
        else:
            encoder = await self._encoder(path, info.schema_id)
        return PublishTopic(name=name, encoder=encoder, at=self._clock.monotonic())

    async def _encoder(self, path: str, schema_id: str) -> DatumEncoder:
        if not schema_id:
            raise refused_topic(path, "this topic has no schema: name a platform event, not a channel")
        info = await self._calls.ask(GET_SCHEMA, SchemaRequest(schema_id=schema_id), topic=path)
        try:
            # Compiling a large schema takes some tenths of a second.
            return await asyncio.to_thread(DatumEncoder, schema_id, info.schema_json)
        except UnusableSchema as error:
            raise refused_topic(path, f"the event's schema can't be used: {error}") from error


class PubSubPublisher:
    """Encodes events with the current schema of their topic, and publishes many in one request.

    If the schema or Salesforce refuses an event, and the topic has a new schema by
    then, the event is sent once more.
    """

    def __init__(self, calls: Calls, clock: Clock) -> None:
        self._calls = calls
        self._clock = clock
        self._topics = TopicCache(calls, clock)

    async def publish(self, topic: str, events: Sequence[OutgoingEvent], /) -> Sequence[PublishResult]:
        """Publish `events`: see `streamer.ports.EventPublisher`."""
        results: Results = {}
        try:
            present = await self._topics.get(topic)
            await self._send(present, dict(enumerate(events)), results)
            await self._send_with_newer(present, events, results)
        except StreamerError as error:
            unanswered = Unanswered(error=error)
            return [results.get(number, unanswered) for number in range(len(events))]
        return [results[number] for number in range(len(events))]

    async def _send_with_newer(
        self, former: PublishTopic, events: Sequence[OutgoingEvent], results: Results
    ) -> None:
        """Send the refused events again if the topic has another schema than `former`."""
        refused = {number: result for number, result in results.items() if _can_be_outdated(result)}
        if not refused:
            return
        for number in refused:
            del results[number]
        at_once = any(isinstance(result, Unanswered) or _was_sent(result) for result in refused.values())
        present = await self._topics.newer(former, at_once=at_once)
        if present.schema_id == former.schema_id:
            results |= refused
        else:
            await self._send(present, {number: events[number] for number in refused}, results)

    async def _send(self, topic: PublishTopic, events: Mapping[int, OutgoingEvent], results: Results) -> None:
        """Publish `events`, and store each result; only errors of the login are raised."""
        user = await self._calls.user()
        encoded: list[tuple[int, _Numbered]] = []
        for number, event in events.items():
            try:
                made = self._encoded(topic, event, user)
            except FieldRefused as refused:
                results[number] = Unpublished(code="field_refused", reason=str(refused), sent=False)
                continue
            size = made.ByteSize() + _FRAME_BYTES
            if refusal := too_large(size):
                results[number] = refusal
            else:
                encoded.append((size, (number, made)))
        failure: StreamerError | None = None
        for request in in_requests(encoded, most=MOST_EVENTS, most_bytes=MOST_BYTES):
            if failure is None:
                failure = await self._asked(topic, request, results)
            if failure is not None:
                results |= {number: Unanswered(error=failure) for number, _ in request}

    async def _asked(
        self, topic: PublishTopic, request: Sequence[_Numbered], results: Results
    ) -> StreamerError | None:
        """Make one request and store the results; if there are no results, return the error."""
        message = PublishRequest(topic_name=topic.path, events=[event for _, event in request])
        try:
            response = await self._calls.ask(PUBLISH, message, topic=topic.path)
        except StreamerError as failure:
            return failure
        if len(response.results) != len(request):
            return SalesforceUnavailable(
                f"Salesforce returned {len(response.results)} results for {len(request)} events of "
                f"{topic.path}"
            )
        for (number, event), answer in zip(request, response.results, strict=True):
            results[number] = _result(event, answer)
        if response.schema_id not in {"", topic.schema_id}:
            self._topics.forget(topic)
        return None

    def _encoded(self, topic: PublishTopic, event: OutgoingEvent, user: str) -> ProducerEvent:
        # The publisher must set both fields (Pub/Sub API samples).
        stamps = {"CreatedDate": round(self._clock.now() * 1000), "CreatedById": user}
        payload = topic.encoder.encode({**stamps, **event.fields})
        return ProducerEvent(id=event.id, schema_id=topic.schema_id, payload=payload)


def _result(event: ProducerEvent, answer: Answer) -> PublishResult:
    if answer.HasField("error"):
        code, error = answer.error.code, answer.error.msg
        word = ErrorCode.Name(code) if code in ErrorCode.values() else f"error {code}"
        return refused_event(word, error)
    is_known = 0 < len(answer.replay_id) <= LONGEST_REPLAY_ID
    return Published(event_uuid=event.id, replay_id=ReplayId(answer.replay_id) if is_known else None)


def _was_sent(result: PublishResult) -> bool:
    return isinstance(result, Unpublished) and result.sent


def _can_be_outdated(result: PublishResult) -> bool:
    """Return whether `result` can come from an outdated schema."""
    match result:
        case Unpublished():
            return result.code != "too_large"
        case Unanswered():
            return isinstance(result.error, PublishingRefused)
        case _:
            return False
