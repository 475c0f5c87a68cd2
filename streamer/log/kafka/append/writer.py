"""Writer thread of one partition; it commits the queued appends together."""

import asyncio
import threading
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from streamer.errors import EventsRefused, LogMisconfigured, LogUnavailable
from streamer.events import Channel, Checkpoint
from streamer.log.kafka.append.encoder import AppendEncoder, EncodedAppend
from streamer.log.kafka.append.session import PartitionSession
from streamer.log.kafka.append.transactions import UnwritableRecords
from streamer.log.kafka.topics.provisioner import TopicProvisioner
from streamer.observe.process import Pulse, Pulses
from streamer.observe.service_thread import ServiceThread
from streamer.settings import KafkaLogSettings


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class QueuedRequest:
    """One request: to write `append`, or without an append, to read the channel's checkpoint.

    `failures` is the number of the channel's failures that the loop knew when it
    queued the request.
    """

    channel: Channel
    append: EncodedAppend | None
    failures: int
    answer: asyncio.Future[Any]


class AppendQueue:
    """First-in first-out queue of requests, which the loop fills and one thread empties.

    The queue needs no limit: it holds only objects that its callers hold anyway.
    """

    def __init__(self) -> None:
        self._waiting: deque[QueuedRequest] = deque()
        self._changed = threading.Condition()
        self._closed = False

    def put(self, asked: QueuedRequest) -> None:
        """Add `asked` at the end."""
        with self._changed:
            self._waiting.append(asked)
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

    def take(self, *, append: bool) -> QueuedRequest | None:
        """Take the first request if it is an append, or with `append` false a look-up; else return `None`."""
        with self._changed:
            if self._waiting and (self._waiting[0].append is not None) is append:
                return self._waiting.popleft()
            return None

    def take_all(self) -> list[QueuedRequest]:
        """Take all waiting requests."""
        with self._changed:
            taken = list(self._waiting)
            self._waiting.clear()
            return taken


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Ready:
    """Append whose topics exist."""

    asked: QueuedRequest
    encoded: EncodedAppend


class PartitionWriter:
    """Serves one partition: the loop calls its methods, and its own thread does the work.

    When an append fails, later appends of the same channel also fail if their
    caller did not yet know of the failure. Otherwise they would move the checkpoint
    past the missing events.
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

    def append(self, append: EncodedAppend) -> asyncio.Future[None]:
        """Return a future that resolves when `append` is durable; it raises the errors of `Append.commit`."""
        return self._ask(append.channel, append)

    def checkpoint(self, channel: Channel) -> asyncio.Future[Checkpoint | None]:
        """Return a future of the channel's last committed checkpoint, as `EventLog.checkpoint` returns it."""
        return self._ask(channel, None)

    async def close(self) -> None:
        """Finish earlier requests, drop the producer and end the thread."""
        self._closed = True
        self._queue.close()
        await self._thread.join()

    def _ask(self, channel: Channel, append: EncodedAppend | None) -> asyncio.Future[Any]:
        if self._failure is not None:
            raise self._failure
        if self._closed:
            raise LogUnavailable(f"the channel {channel} was released")
        answer: asyncio.Future[Any] = self._loop.create_future()
        self._open.add(answer)
        answer.add_done_callback(self._open.discard)
        failures = self._reported[channel]
        self._queue.put(QueuedRequest(channel=channel, append=append, failures=failures, answer=answer))
        return answer

    # On the thread.

    def _serve(self, pulse: Pulse) -> None:
        while self._is_asked(pulse):
            if asked := self._queue.take(append=False):
                self._look_up(asked)
            elif group := self._gather():
                self._write(group)
        self._session.close()

    def _is_asked(self, pulse: Pulse) -> bool:
        pulse.rest()
        asked = self._queue.wait()
        pulse.beat()
        return asked

    def _look_up(self, asked: QueuedRequest) -> None:
        try:
            committed = self._session.committed(asked.channel)
        except Exception as exc:  # noqa: BLE001 - the caller raises it, and this thread serves the other requests
            self._fail_waiting([asked], exc)
        else:
            self._tell([asked], committed)

    def _gather(self) -> list[_Ready]:
        """Return the waiting appends, up to the bounds of a group."""
        group: list[_Ready] = []
        events = size = 0
        while events < self._settings.group_commit_events and size < self._settings.group_commit_bytes:
            asked = self._queue.take(append=True)
            if asked is None or asked.append is None:
                break
            if self._has_topics(asked, asked.append):
                group.append(_Ready(asked=asked, encoded=asked.append))
                events += len(asked.append.events)
                size += asked.append.size
        return group

    def _has_topics(self, asked: QueuedRequest, append: EncodedAppend) -> bool:
        self._thread.pulse.beat()
        try:
            self._topics.ensure(append.topics, self._settings.append_deadline_s)
        except LogUnavailable as exc:
            self._fail_waiting([asked], exc)
        except Exception as exc:  # noqa: BLE001 - as above
            self._fail([asked], exc)
        else:
            return True
        return False

    def _write(self, ready: Sequence[_Ready]) -> None:
        group = list(ready)
        while group := self._still_good(group):
            self._thread.pulse.beat()
            try:
                self._session.write(
                    self._encoder.group([ready.encoded for ready in group]),
                    {ready.asked.channel: ready.encoded.checkpoint for ready in group},
                )
            except UnwritableRecords as refusal:
                group = self._without_refused(group, refusal)
            except LogMisconfigured as exc:
                self._find_misconfigured(group, exc)
                return
            except Exception as exc:  # noqa: BLE001 - as above
                self._session.close()
                self._topics.forget({topic for ready in group for topic in ready.encoded.topics})
                self._fail_waiting([ready.asked for ready in group], exc)
                return
            else:
                self._tell([ready.asked for ready in group], None)
                return

    def _still_good(self, group: Iterable[_Ready]) -> list[_Ready]:
        good: list[_Ready] = []
        for ready in group:
            asked = ready.asked
            if asked.failures == self._seen[asked.channel]:
                good.append(ready)
            else:
                self._tell_failure(asked, LogUnavailable(f"an earlier append of {asked.channel} failed"))
        return good

    def _without_refused(self, group: Sequence[_Ready], refusal: UnwritableRecords) -> list[_Ready]:
        guilty = {ready: events for ready in group if (events := ready.encoded.drop(refusal.refused))}
        if not guilty:
            topics = ", ".join(sorted({str(topic) for topic, _, _ in refusal.refused}))
            sentence = f"Kafka refuses a record of {topics}, raise its max.message.bytes: {refusal.reason}"
            self._find_misconfigured(group, LogMisconfigured(sentence))
            return []
        for ready, events in guilty.items():
            sentence = f"Kafka refuses {len(events)} events: {refusal.reason}"
            self._fail([ready.asked], EventsRefused(sentence, events=events))
        return [ready for ready in group if ready not in guilty]

    def _find_misconfigured(self, group: Sequence[_Ready], error: LogMisconfigured) -> None:
        # A permission that one channel lacks must not stop the other channels.
        if len(group) == 1:
            self._fail([group[0].asked], error)
            return
        for ready in group:
            self._write([ready])

    def _fail_waiting(self, asked: Sequence[QueuedRequest], error: Exception) -> None:
        """Fail `asked` and all waiting requests, because these have waited as long for the same brokers."""
        self._fail([*asked, *self._queue.take_all()], error)

    def _fail(self, asked: Iterable[QueuedRequest], error: Exception) -> None:
        for one in asked:
            self._tell_failure(one, error)

    def _tell_failure(self, asked: QueuedRequest, error: Exception) -> None:
        if asked.append is not None:
            self._seen[asked.channel] += 1
        self._loop.call_soon_threadsafe(self._conclude_failure, asked, error)

    def _tell(self, asked: Sequence[QueuedRequest], answer: Checkpoint | None) -> None:
        self._loop.call_soon_threadsafe(_conclude, asked, answer)

    # On the loop again.

    def _break_off(self, error: Exception) -> None:
        self._failure = error
        for answer in list(self._open):
            if not answer.done():
                answer.set_exception(error)

    def _conclude_failure(self, asked: QueuedRequest, error: Exception) -> None:
        if asked.append is not None:
            self._reported[asked.channel] += 1
        if not asked.answer.done():
            asked.answer.set_exception(error)


def _conclude(asked: Sequence[QueuedRequest], answer: Checkpoint | None) -> None:
    for one in asked:
        if not one.answer.done():
            one.answer.set_result(answer)
