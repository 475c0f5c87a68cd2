"""Publish calls, with a separate result for each event of a request."""

import uuid
from typing import Any

from grpc import StatusCode

from streamer.eventbus import (
    Error,
    ErrorCode,
    ProducerEvent,
    PublishRequest,
    PublishResponse,
    PublishResult,
)
from streamer.sandbox.faults.armed import PUBLISH, InjectionPoint
from streamer.sandbox.org.refusals import Refused
from streamer.sandbox.org.schema import PlatformEvent
from streamer.sandbox.pubsub.avro.payloads import Payloads, Unpublishable
from streamer.sandbox.pubsub.calls import AdmittedCall, CallAdmission, next_request
from streamer.sandbox.pubsub.context import PubSubContext
from streamer.sandbox.pubsub.errors import PUBLISH_STREAM_IDLE, CallAborted, topic_denied
from streamer.sandbox.pubsub.replay_ids import ReplayIds
from streamer.sandbox.pubsub.topics import SandboxTopics

# Message with which a proxy before Salesforce's server refuses a request that is too large (Pub/Sub API
# guide, allocations).
_TOO_LARGE = "upstream connect error or disconnect/reset before headers. reset reason: remote reset"


class EventPublishing:
    """Publishes platform events on behalf of clients."""

    def __init__(
        self, context: PubSubContext, admission: CallAdmission, topics: SandboxTopics, replay_ids: ReplayIds
    ) -> None:
        self._context = context
        self._limits = context.limits
        self._admission = admission
        self._topics = topics
        self._replay_ids = replay_ids
        self._payloads = Payloads(context.org.event_schemas)

    def publish(self, request: PublishRequest, call: AdmittedCall) -> PublishResponse:
        """Publish the events of a request, and return their results in the same order.

        Raises `CallAborted` for a topic to which the user can't publish, and for a
        request that is too large.
        """
        if request.ByteSize() > self._limits.request_bytes:
            raise CallAborted(StatusCode.UNAVAILABLE, None, _TOO_LARGE)
        topic = self._topics.find(request.topic_name)
        self._topics.check_access(call.user, topic)
        definition = topic.definition
        if not isinstance(definition, PlatformEvent) or not self._topics.can_publish(call.user, topic):
            raise topic_denied(topic.path)
        results = [self._result(definition, event, call.user_id) for event in request.events]
        schema_id = self._topics.schema_id(self._topics.find(topic.path))
        return PublishResponse(results=results, schema_id=schema_id, rpc_id=call.id)

    async def publish_stream(self, stream: Any, call: AdmittedCall) -> None:
        """Answer the requests of a stream until its client ends it; raises `CallAborted` for an idle client.

        A request that names no topic is for the topic of the previous request.
        """
        clock, path = self._context.clock, ""
        idle_since = clock.monotonic()
        while True:
            remaining_s = self._limits.idle_publish_s - (clock.monotonic() - idle_since)
            request = await self._request_within(stream, remaining_s)
            if request is None:
                return
            await self._admission.strike(call.token, InjectionPoint(on=PUBLISH))
            path = request.topic_name or path
            request.topic_name = path
            if request.events:
                idle_since = clock.monotonic()
            await stream.write(self.publish(request, call))

    async def _request_within(self, stream: Any, seconds: float) -> PublishRequest | None:
        """Return the next request, or `None` at the end; raises `CallAborted` if no request comes in time."""
        try:
            if seconds > 0:
                async with self._context.clock.timeout(seconds):
                    request: PublishRequest | None = await next_request(stream)
                    return request
        except TimeoutError:
            pass
        message = "The client sent no event for too long."
        raise CallAborted(StatusCode.DEADLINE_EXCEEDED, PUBLISH_STREAM_IDLE, message)

    def _result(self, definition: PlatformEvent, event: ProducerEvent, user_id: str) -> PublishResult:
        event_uuid = event.id or str(uuid.uuid4())
        try:
            replay_id = self._publish(definition, event, event_uuid, user_id)
        except (Unpublishable, Refused) as error:
            failure = Error(code=ErrorCode.PUBLISH, msg=str(error))
            return PublishResult(error=failure, correlation_key=event_uuid)
        return PublishResult(replay_id=self._replay_ids.encode(replay_id), correlation_key=event_uuid)

    def _publish(self, definition: PlatformEvent, event: ProducerEvent, event_uuid: str, user_id: str) -> int:
        if event.ByteSize() > self._limits.event_bytes:
            raise Unpublishable(f"The event is larger than {self._limits.event_bytes} bytes.")
        if self._context.faults.armed.strike("refuse_publish", InjectionPoint(on=PUBLISH)):
            raise Unpublishable("The event can't be published now.")
        stamps, fields = self._payloads.read(definition, event.schema_id, event.payload)
        self._context.org.publish_platform_event(
            definition.name, fields, user=user_id, event_uuid=event_uuid, stamps=stamps
        )
        newest = self._context.bus.newest_replay_id(f"/event/{definition.name}")
        assert newest is not None  # noqa: S101 - the event has just been published
        return newest
