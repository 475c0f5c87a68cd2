"""Topics to which events are published, with their current schemas."""

import asyncio
from dataclasses import dataclass

from streamer.clock import Clock
from streamer.eventbus import SchemaRequest, TopicRequest
from streamer.eventbus.calls import GET_SCHEMA, GET_TOPIC
from streamer.salesforce.publish.avro import DatumEncoder
from streamer.salesforce.publish.calls import Calls, refused_topic
from streamer.salesforce.pubsub.avro import UnusableSchema

# A refused event can need a newer schema. Many refused events cause only one request in this time.
_FRESH_S = 10.0


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
