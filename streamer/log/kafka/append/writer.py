"""Writer thread of one partition; it commits the queued appends together."""

import asyncio
import threading
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from streamer.errors import EventsRefused, LogMisconfigured, LogUnavailable
from streamer.events import Channel, Checkpoint
from streamer.log.kafka.append.encoder import AppendEncoder, AppendRequest
from streamer.log.kafka.append.session import PartitionSession, UnwritableRecords
from streamer.log.kafka.cluster.threads import conclude
from streamer.log.kafka.topics.provisioner import TopicProvisioner
from streamer.observe.process import Pulse, Pulses
from streamer.observe.service_thread import ServiceThread
from streamer.settings import KafkaLogSettings


@dataclass(slots=True, kw_only=True, eq=False)
class CheckpointRequest:
    """Request for the checkpoint of a channel."""

    channel: Channel
    answer: asyncio.Future[Any] = field(init=False)


Request = AppendRequest | CheckpointRequest
_Kind = TypeVar("_Kind", AppendRequest, CheckpointRequest)


class AppendQueue:
    """First-in first-out queue of requests, which the loop fills and one thread empties.

    The queue needs no limit, because it holds only objects that the callers hold
    anyway.
    """

    def __init__(self) -> None:
        self._waiting: deque[Request] = deque()
        self._changed = threading.Condition()
        self._closed = False

    def put(self, request: Request) -> None:
        """Add `request` at the end."""
        with self._changed:
            self._waiting.append(request)
            self._changed.notify()

    def close(self) -> None:
        """Note that no request follows."""
        with self._changed:
            self._closed = True
            self._changed.notify()

    def wait(self) -> bool:
        """Return true as soon as a request waits, and false once the queue is closed and empty."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed)
            return bool(self._waiting)

    def take(self, kind: type[_Kind]) -> _Kind | None:
        """Return the first request if it is of this `kind`; else `None`."""
        with self._changed:
            if self._waiting and isinstance(first := self._waiting[0], kind):
                self._waiting.popleft()
                return first
            return None

    def take_all(self) -> list[Request]:
        """Take all waiting requests."""
        with self._changed:
            taken = list(self._waiting)
            self._waiting.clear()
            return taken


class PartitionWriter:
    """Serves one partition: the loop calls its methods, and its own thread does the work.

    When an append fails, later appends of the same channel also fail if their caller
    did not yet know of the failure. Otherwise, these later appends would move the
    checkpoint past the missing events.
    """

    def __init__(
        self,
        name: str,
        session: PartitionSession,
        encoder: AppendEncoder,
        topics: TopicProvisioner,
        settings: KafkaLogSettings,
        *,
        pulses: Pulses,
    ) -> None:
        """Start the thread `name`, which opens `session` for its first request."""
        self._session = session
        self._encoder = encoder
        self._topics = topics
        self._settings = settings
        self._loop = asyncio.get_running_loop()
        self._queue = AppendQueue()
        self._closed = False
        # Futures without an answer yet, and the error that ended the thread.
        self._open: set[asyncio.Future[Any]] = set()
        self._failure: Exception | None = None
        # Number of failures by channel, as the loop knows it, and as the thread knows it.
        self._reported: Counter[Channel] = Counter()
        self._seen: Counter[Channel] = Counter()
        self._thread = ServiceThread(name, self._serve, pulses=pulses, failed=self._break_off)
        self._thread.start()

    def append(self, append: AppendRequest) -> asyncio.Future[None]:
        """Return a future that resolves when `append` is durable, or raises the errors of `Append.commit`."""
        append.failures = self._reported[append.channel]
        self._ask(append)
        return append.answer

    def checkpoint(self, channel: Channel) -> asyncio.Future[Checkpoint | None]:
        """Return a future of the channel's last committed checkpoint, as `EventLog.checkpoint` returns it."""
        request = CheckpointRequest(channel=channel)
        self._ask(request)
        return request.answer

    async def close(self) -> None:
        """Finish earlier requests, drop the producer and end the thread."""
        self._closed = True
        self._queue.close()
        await self._thread.join()

    def _ask(self, request: Request) -> None:
        if self._failure is not None:
            raise self._failure
        if self._closed:
            raise LogUnavailable(f"this process no longer writes the channel {request.channel}")
        request.answer = self._loop.create_future()
        self._open.add(request.answer)
        request.answer.add_done_callback(self._open.discard)
        self._queue.put(request)

    # On the thread.

    def _serve(self, pulse: Pulse) -> None:
        try:
            while self._is_asked(pulse):
                if question := self._queue.take(CheckpointRequest):
                    self._look_up(question)
                elif group := self._gather():
                    self._write(group)
        finally:
            self._session.close()

    def _is_asked(self, pulse: Pulse) -> bool:
        pulse.rest()
        asked = self._queue.wait()
        pulse.beat()
        return asked

    def _look_up(self, question: CheckpointRequest) -> None:
        try:
            committed = self._session.committed(question.channel)
        except Exception as exc:  # noqa: BLE001 - the caller raises it, and this thread serves the other requests
            self._fail_waiting([question], exc)
        else:
            self._tell([question], committed)

    def _gather(self) -> list[AppendRequest]:
        """Return waiting appends, as many as one commit can contain."""
        group: list[AppendRequest] = []
        events = size = 0
        while events < self._settings.group_commit_events and size < self._settings.group_commit_bytes:
            append = self._queue.take(AppendRequest)
            if append is None:
                break
            if self._has_topics(append):
                group.append(append)
                events += len(append.events)
                size += append.size
        return group

    def _has_topics(self, append: AppendRequest) -> bool:
        self._thread.pulse.beat()
        try:
            self._topics.ensure(append.topics, self._settings.append_deadline_s)
        except LogUnavailable as exc:
            self._fail_waiting([append], exc)
        except Exception as exc:  # noqa: BLE001 - as above
            self._fail([append], exc)
        else:
            return True
        return False

    def _write(self, appends: Sequence[AppendRequest]) -> None:
        group = list(appends)
        while group := self._still_good(group):
            self._thread.pulse.beat()
            try:
                newest = {append.channel: append.checkpoint for append in group}
                self._session.write(self._encoder.group(group), newest)
            except UnwritableRecords as refusal:
                group = self._without_refused(group, refusal)
            except LogMisconfigured as exc:
                self._find_misconfigured(group, exc)
                return
            except Exception as exc:  # noqa: BLE001 - as above
                self._session.close()
                self._topics.forget({topic for append in group for topic in append.topics})
                self._fail_waiting(group, exc)
                return
            else:
                self._tell(group, None)
                return

    def _still_good(self, group: Iterable[AppendRequest]) -> list[AppendRequest]:
        good: list[AppendRequest] = []
        for append in group:
            if append.failures == self._seen[append.channel]:
                good.append(append)
            else:
                self._fail(
                    [append], LogUnavailable(f"an earlier append to the channel {append.channel} failed")
                )
        return good

    def _without_refused(
        self, group: Sequence[AppendRequest], refusal: UnwritableRecords
    ) -> list[AppendRequest]:
        guilty = {
            append: events
            for append in group
            if (events := append.drop(refusal.refused, self._encoder.readers))
        }
        if not guilty:
            topics = ", ".join(sorted({str(topic) for topic, _, _ in refusal.refused}))
            sentence = (
                f"Kafka refuses a record for topic {topics}: raise the topic's max.message.bytes "
                f"({refusal.reason})"
            )
            self._find_misconfigured(group, LogMisconfigured(sentence))
            return []
        for append, events in guilty.items():
            sentence = f"Kafka refuses {len(events)} events: {refusal.reason}"
            self._fail([append], EventsRefused(sentence, events=events))
        return [append for append in group if append not in guilty]

    def _find_misconfigured(self, group: Sequence[AppendRequest], error: LogMisconfigured) -> None:
        # A permission that one channel lacks must not stop the other channels.
        if len(group) == 1:
            self._fail(group, error)
            return
        for append in group:
            self._write([append])

    def _fail_waiting(self, requests: Iterable[Request], error: Exception) -> None:
        """Fail `requests` and all waiting requests, which have waited just as long for the same brokers."""
        self._fail([*requests, *self._queue.take_all()], error)

    def _fail(self, requests: Iterable[Request], error: Exception) -> None:
        for request in requests:
            if isinstance(request, AppendRequest):
                self._seen[request.channel] += 1
            self._loop.call_soon_threadsafe(self._conclude_failure, request, error)

    def _tell(self, requests: Sequence[Request], answer: Checkpoint | None) -> None:
        self._loop.call_soon_threadsafe(_conclude, requests, answer)

    # The event loop runs the following methods.

    def _break_off(self, error: Exception) -> None:
        self._failure = error
        for answer in list(self._open):
            conclude(answer, error)

    def _conclude_failure(self, request: Request, error: Exception) -> None:
        if isinstance(request, AppendRequest):
            self._reported[request.channel] += 1
        conclude(request.answer, error)


def _conclude(requests: Sequence[Request], answer: Any) -> None:
    for request in requests:
        conclude(request.answer, answer)
