"""The calls of the Pub/Sub API, which one org answers."""

from typing import Any

import orjson
from grpc import StatusCode

from streamer.eventbus import FetchRequest, SchemaInfo, SchemaRequest, TopicInfo, TopicRequest
from streamer.sandbox.faults.armed import SCHEMA, SUBSCRIBE, InjectionPoint
from streamer.sandbox.pubsub.avro.events import Events
from streamer.sandbox.pubsub.calls import AdmittedCall, CallAdmission, next_request
from streamer.sandbox.pubsub.context import PubSubContext
from streamer.sandbox.pubsub.errors import (
    SCHEMA_DENIED,
    SCHEMA_INVALID,
    CallAborted,
    invalid,
    topic_denied,
)
from streamer.sandbox.pubsub.publishing import EventPublishing
from streamer.sandbox.pubsub.replay_ids import ReplayIds
from streamer.sandbox.pubsub.streams import Streams
from streamer.sandbox.pubsub.subscription import EventStream, StreamStart, SubscriptionParts
from streamer.sandbox.pubsub.topics import SandboxTopics


class PubSubService:
    """Answers admitted calls; each method raises `CallAborted` for a refused call."""

    def __init__(self, context: PubSubContext) -> None:
        self._context = context
        self._armed = context.faults.armed
        self.admission = CallAdmission(context)
        self.streams = Streams(context.limits.streams)
        self._topics = SandboxTopics(context.org)
        self._replay_ids = ReplayIds(context.bus, self._armed, context.limits.replay_id_bytes)
        self._parts = SubscriptionParts(
            admission=self.admission,
            events=Events(context.org.event_schemas, self._replay_ids),
            replay_ids=self._replay_ids,
        )
        self.publishing = EventPublishing(context, self.admission, self._topics, self._replay_ids)

    def topic(self, request: TopicRequest, call: AdmittedCall) -> TopicInfo:
        """Return the user's rights on a topic, and the id of the topic's schema."""
        topic = self._topics.find(request.topic_name)
        self._topics.check_access(call.user, topic)
        return TopicInfo(
            topic_name=topic.path,
            tenant_guid=self._context.org.settings.org_id,
            can_publish=self._topics.can_publish(call.user, topic),
            can_subscribe=self._topics.can_subscribe(call.user, topic),
            schema_id=self._topics.schema_id(topic),
            rpc_id=call.id,
        )

    def schema(self, request: SchemaRequest, call: AdmittedCall) -> SchemaInfo:
        """Return a schema as JSON; a user who can't read an event can't read its schema either."""
        schema = self._context.org.event_schemas.get(request.schema_id)
        if schema is None or self._armed.strike("unknown_schema", InjectionPoint(on=SCHEMA)):
            raise invalid(SCHEMA_INVALID, f"There is no schema {request.schema_id[:80]!r}.")
        if not self._topics.can_read_schema(call.user, schema["name"]):
            message = "The user has no access to the event of the schema."
            raise CallAborted(StatusCode.PERMISSION_DENIED, SCHEMA_DENIED, message)
        return SchemaInfo(
            schema_json=orjson.dumps(schema).decode(), schema_id=request.schema_id, rpc_id=call.id
        )

    async def subscribe(self, stream: Any, call: AdmittedCall, request: FetchRequest) -> None:
        """Send a stream its events; the first `request` of the stream sets the topic and the position."""
        topic = self._topics.find(request.topic_name)
        is_denied = self._armed.strike("deny_subscription", InjectionPoint(on=SUBSCRIBE, path=topic.path))
        if is_denied or not self._topics.can_subscribe(call.user, topic):
            raise topic_denied(topic.path)
        start = StreamStart(
            path=topic.path,
            position=self._replay_ids.start(topic.path, request),
            view=self._topics.view(call.user),
            default_schema=self._topics.default_schema_id(topic),
        )
        subscription = EventStream(self._context, self._parts, call, stream, start)
        subscription.add_credit(request)
        with self.streams.subscribed(subscription):
            await subscription.run()

    async def first_request(self, stream: Any) -> FetchRequest | None:
        """Return a subscription's first request.

        `None` if it does not come within the limit for idle clients.
        """
        try:
            async with self._context.clock.timeout(self._context.limits.idle_credit_s):
                first: FetchRequest | None = await next_request(stream)
                return first
        except TimeoutError:
            return None
