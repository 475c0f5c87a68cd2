"""Sender of outbound messages: queues a notification for each change, and repeats it until acknowledged."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import aiohttp

from streamer.clock import Clock
from streamer.sandbox.faults.armed import OUTBOUND, InjectionPoint
from streamer.sandbox.faults.catalogue import Faults
from streamer.sandbox.org.org import SandboxOrg
from streamer.sandbox.org.record_ids import with_checksum
from streamer.sandbox.org.records import read_field
from streamer.sandbox.org.refusals import no_such_column, not_found
from streamer.sandbox.org.transaction import RecordOperation
from streamer.sandbox.outbound.envelope import Header, NotifiedRecord, envelope, is_acknowledged
from streamer.sandbox.outbound.limits import OutboundLimits
from streamer.sandbox.outbound.message import OutboundMessage

_OTHER_ORG = with_checksum("00DSb0000000009")
_LARGEST_ANSWER = 1024 * 1024
_TRIGGERS = {"Create": "create", "Update": "update"}


@dataclass(slots=True, kw_only=True, eq=False)
class Notification:
    """A waiting notification; times are in the clock's monotonic seconds."""

    id: str
    record_id: str
    queued_at: float
    due_at: float
    attempts: int = 0


@dataclass(slots=True, kw_only=True)
class OutboundQueue:
    """One message and its notifications.

    The counts are numbers of notifications, but `envelopes` counts requests.
    """

    message: OutboundMessage
    action_id: str
    waiting: list[Notification] = field(default_factory=list)
    envelopes: int = 0
    acknowledged: int = 0
    dropped: int = 0
    changed: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """The org from a client's view: its address, and a source of access tokens."""

    url: Callable[[], str]
    new_token: Callable[[], str]


class OutboundSender:
    """Sends the defined messages over HTTP; each message has its own queue.

    An envelope holds the notifications that are due, in the order of the changes, with
    the current values of the records. So a repeated notification can come after later
    notifications, in another envelope, and with other values than before.
    """

    def __init__(
        self,
        org: SandboxOrg,
        faults: Faults,
        clock: Clock,
        *,
        limits: OutboundLimits,
        instance: Instance,
    ) -> None:
        """Send changes of `org`, which clients reach as `instance`."""
        self._org = org
        self._faults = faults
        self._clock = clock
        self._limits = limits
        self._instance = instance
        self._queues: dict[str, OutboundQueue] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._http: aiohttp.ClientSession | None = None
        org.listen(self._changed)

    @property
    def queues(self) -> Mapping[str, OutboundQueue]:
        """Messages by name, with their waiting notifications."""
        return self._queues

    def define(self, name: str, message: OutboundMessage) -> OutboundQueue:
        """Send `message` from now on, instead of an earlier message with this name; needs a running loop.

        Raises `Refused` for a type or a field that the schema does not have.
        Notifications that already wait under this name go to the new address.
        """
        entity = self._org.schema.entity(message.object)
        for each in message.fields:
            if entity.declared and entity.field_name(each) is None:
                raise no_such_column(each, entity.name)
        former = self._queues.get(name)
        queue = OutboundQueue(
            message=message, action_id=former.action_id if former else self._org.new_id("04k")
        )
        if former is not None:
            queue.waiting = former.waiting
            self._tasks.pop(name).cancel()
        self._queues[name] = queue
        self._tasks[name] = asyncio.create_task(self._run(name, queue), name=f"sandbox.outbound {name}")
        return queue

    def remove(self, name: str) -> None:
        """Forget a message and its waiting notifications; raises `Refused` for an unknown name."""
        if name not in self._queues:
            raise not_found()
        del self._queues[name]
        self._tasks.pop(name).cancel()

    async def close(self) -> None:
        """Stop sending; raises the first error of a queue that failed."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        if self._http is not None:
            await self._http.close()
        for result in results:
            if isinstance(result, Exception):
                raise result

    def _changed(self, operations: Sequence[RecordOperation]) -> None:
        now = self._clock.monotonic()
        # Several saves of a record in one transaction cause one notification.
        first: dict[str, RecordOperation] = {}
        for operation in operations:
            first.setdefault(operation.after["Id"], operation)
        for queue in self._queues.values():
            for record_id, operation in first.items():
                is_meant = operation.entity.name.lower() == queue.message.object.lower()
                if is_meant and _TRIGGERS.get(operation.kind) in queue.message.on:
                    queue.waiting.append(
                        Notification(
                            id=self._org.new_id("04l"), record_id=record_id, queued_at=now, due_at=now
                        )
                    )
                    queue.changed.set()

    async def _run(self, name: str, queue: OutboundQueue) -> None:
        while True:
            self._drop(queue)
            now = self._clock.monotonic()
            due = [each for each in queue.waiting if each.due_at <= now][: self._limits.notifications]
            if due:
                await self._send(name, queue, due)
                continue
            queue.changed.clear()
            next_at = min((each.due_at for each in queue.waiting), default=None)
            with suppress(TimeoutError):
                async with self._clock.timeout(None if next_at is None else next_at - now):
                    await queue.changed.wait()

    def _drop(self, queue: OutboundQueue) -> None:
        since = self._clock.monotonic() - self._limits.dropped_after_s
        kept = [each for each in queue.waiting if each.queued_at > since]
        queue.dropped += len(queue.waiting) - len(kept)
        queue.waiting = kept

    async def _send(self, name: str, queue: OutboundQueue, due: Sequence[Notification]) -> None:
        point = InjectionPoint(on=OUTBOUND, path=name)
        body = self._body(queue, due, point)
        if self._faults.armed.strike("garble_outbound", point):
            body = body[: len(body) // 2]
        requests = [body]
        if repeat := self._faults.armed.strike("repeat_outbound", point):
            requests = [body, body]
        if repeat and repeat.settings["at_once"]:
            answers = await asyncio.gather(*(self._is_taken(queue, each) for each in requests))
        else:
            answers = [await self._is_taken(queue, each) for each in requests]
        is_lost = self._faults.armed.strike("lose_outbound_answer", point) is not None
        self._conclude(queue, due, taken=any(answers) and not is_lost)

    def _conclude(self, queue: OutboundQueue, due: Sequence[Notification], *, taken: bool) -> None:
        if taken:
            queue.acknowledged += len(due)
            done = {each.id for each in due}
            queue.waiting = [each for each in queue.waiting if each.id not in done]
            return
        now = self._clock.monotonic()
        for each in due:
            delay = min(self._limits.longest_retry_s, self._limits.first_retry_s * 2.0**each.attempts)
            each.attempts += 1
            each.due_at = now + delay

    def _body(self, queue: OutboundQueue, due: Sequence[Notification], point: InjectionPoint) -> bytes:
        is_wrong = self._faults.armed.strike("wrong_outbound_org", point) is not None
        header = Header(
            organization_id=_OTHER_ORG if is_wrong else self._org.settings.org_id,
            action_id=queue.action_id,
            instance_url=self._instance.url(),
            session_id=self._instance.new_token() if queue.message.send_session else None,
        )
        return envelope(header, [self._state(queue.message, each) for each in due])

    def _state(self, message: OutboundMessage, notification: Notification) -> NotifiedRecord:
        entity = self._org.schema.entity(message.object)
        record = self._org.records.get(entity, notification.record_id) or {"Id": notification.record_id}
        names = [entity.field_name(name) or name for name in message.fields]
        fields = {name: read_field(entity, record, name) for name in dict.fromkeys(["Id", *names])}
        return NotifiedRecord(notification_id=notification.id, object=entity.name, fields=fields)

    async def _is_taken(self, queue: OutboundQueue, body: bytes) -> bool:
        queue.envelopes += 1
        headers = {"Content-Type": "text/xml; charset=UTF-8", "SOAPAction": '""'}
        tls = self._limits.tls or True
        if self._http is None:
            self._http = aiohttp.ClientSession()
        try:
            async with (
                self._clock.timeout(self._limits.answer_s),
                self._http.post(
                    queue.message.url,
                    data=body,
                    headers=headers,
                    ssl=tls if queue.message.verify else False,
                    allow_redirects=False,
                ) as response,
            ):
                return is_acknowledged(response.status, await response.content.read(_LARGEST_ANSWER))
        except (aiohttp.ClientError, OSError, ValueError):
            # A time-out is an OSError.
            return False
