"""The thread in which one subscriber's consumer lives."""

import asyncio
import itertools
import threading
from contextlib import closing
from typing import Any

import structlog
from confluent_kafka import Consumer, KafkaException, TopicPartition

from streamer.clock import Clock
from streamer.errors import LogMisconfigured, LogUnavailable
from streamer.log.kafka.clients import Clients
from streamer.log.kafka.commits import Commits
from streamer.log.kafka.faults import Faults, kafka_error
from streamer.log.kafka.handover import Handover, conclude
from streamer.log.kafka.interest import topic_expressions
from streamer.log.kafka.member import Crew, Member
from streamer.log.kafka.names import Names
from streamer.log.kafka.patience import Patience
from streamer.log.kafka.reading import Reading
from streamer.log.kafka.retention import OnHole
from streamer.log.kafka.settler import Settler
from streamer.log.kafka.start import FirstPlace
from streamer.ports import Subscription
from streamer.pulse import Pulses

_log = structlog.get_logger()

# A transaction that a former owner left open ends by its timeout of 10 s, which
# the broker looks for every 10 s; until then there are no offsets to go on from.
_PATIENCE_S = 25.0
_PAUSE_S = 1.0
# A reader has at least this long, or a session, to hear of a revocation: longer than
# its loop may stand still before it takes its partitions for doubtful.
_HAND_OVER_S = 3.0
_HEARTBEATS_A_SESSION = 6

# The operator may choose otherwise for all clients, by `log.kafka.options`.
_TUNING = {
    "fetch.min.bytes": 1,
    # A partition that is resumed or assigned waits for the request under way to end.
    "fetch.wait.max.ms": 250,
    "fetch.error.backoff.ms": 100,
    # How long a full queue is left alone; the default of 1 s starves a fast reader.
    "fetch.queue.backoff.ms": 20,
    "queued.max.messages.kbytes": 8192,
    "topic.metadata.refresh.interval.ms": 5_000,
}


class Follower:
    """Runs a member of the subscriber's group, and begins anew when it fails.

    The thread owns every client. It ends by `stop`, or by an error that needs
    someone to act, which every later call of the feed raises.
    """

    def __init__(
        self,
        clients: Clients,
        subscription: Subscription,
        clock: Clock,
        handover: Handover,
        on_hole: OnHole,
        pulses: Pulses,
    ) -> None:
        """Prepare; no I/O happens yet. Raises `LogMisconfigured`."""
        self._clients = clients
        self._faults = Faults(clients.settings)
        self._subscriber = subscription.subscriber
        self._handover = handover
        self._first = _first_place(clients, subscription)
        name = f"follow {subscription.subscriber}"
        self._pulses = pulses
        self._pulse = pulses.begin(name)
        self._crew = Crew(
            subscriber=subscription.subscriber,
            handover=handover,
            reading=Reading(subscription, clock),
            settler=Settler(clients, subscription.subscriber),
            patience=Patience(limit_s=_PATIENCE_S, wait=self._wait, is_over=lambda: handover.closing),
            on_hole=on_hole,
            pulse=self._pulse,
            number=itertools.count(1).__next__,
            hand_over_s=max(_HAND_OVER_S, clients.settings.session_timeout_s),
        )
        self._loop = asyncio.get_running_loop()
        self._joined: asyncio.Future[None] = self._loop.create_future()
        self._has_joined = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    async def start(self) -> None:
        """Return when the place of the subscriber is settled and it is about to join its group."""
        self._thread.start()
        await self._joined

    async def stop(self) -> None:
        """Leave the group and end the thread."""
        self._handover.close()
        if self._thread.ident is not None:
            await asyncio.to_thread(self._thread.join)

    def _run(self) -> None:
        try:
            while not self._handover.closing:
                self._be_a_member()
            self._handover.break_off(LogUnavailable("the feed was closed"))
        except Exception as exc:  # noqa: BLE001 - it goes to whoever reads, and stops the daemon there
            self._tell_joined(exc)
            self._handover.break_off(exc)
        finally:
            self._crew.settler.close()
            self._pulses.end(self._pulse)

    def _be_a_member(self) -> None:
        commits = Commits()
        configuration = self._configuration() | {"on_commit": commits.confirm}
        try:
            with closing(self._clients.consumer(self._faults, configuration)) as consumer:
                self._follow(consumer, commits)
        except KafkaException as exc:
            error = self._faults.explain(
                kafka_error(exc), doing="reading", subject=f"the topics of subscriber {self._subscriber}"
            )
            if not isinstance(error, LogUnavailable) or not self._has_joined:
                raise error from exc
            self._begin_anew(error)
        finally:
            commits.give_up(all_of_them=True)

    def _follow(self, consumer: Consumer, commits: Commits) -> None:
        member = Member(consumer, commits, self._crew)
        member.join(self._first)
        self._has_joined = True
        self._tell_joined(None)
        while not self._handover.closing:
            self._pulse.beat()
            member.turn()

    def _begin_anew(self, error: LogUnavailable) -> None:
        _log.warning("log.unavailable", subscriber=self._subscriber, reason=str(error))
        reading = self._crew.reading
        held = frozenset(reading.holdings)
        if held:
            reading.drop(held)
            self._handover.revoke(held)
        self._handover.fail(error)
        self._wait(_PAUSE_S)

    def _wait(self, timeout_s: float) -> None:
        self._pulse.beat()
        self._handover.wait(timeout_s)

    def _tell_joined(self, error: Exception | None) -> None:
        self._loop.call_soon_threadsafe(conclude, self._joined, error)

    def _configuration(self) -> dict[str, Any]:
        settings = self._clients.settings
        session_ms = round(settings.session_timeout_s * 1000)
        tuning = {name: value for name, value in _TUNING.items() if name not in settings.options}
        return tuning | {
            "group.id": Names.of(settings).dispatch_group(self._subscriber),
            # Kept partitions go on at their position while others move.
            "partition.assignment.strategy": "cooperative-sticky",
            "session.timeout.ms": session_ms,
            "heartbeat.interval.ms": session_ms // _HEARTBEATS_A_SESSION,
            "auto.offset.reset": "error",
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "isolation.level": "read_committed",
        }


def _first_place(clients: Clients, subscription: Subscription) -> FirstPlace:
    names = Names.of(clients.settings)
    topics = topic_expressions(subscription.patterns, names.template)
    if not topics:
        raise LogMisconfigured(
            f"subscriber {subscription.subscriber} asks for {', '.join(subscription.patterns)}, and no event "
            "is of such a type: types look like salesforce.cdc.Account.updated"
        )
    return FirstPlace(
        start=subscription.start, topics=topics, marker=TopicPartition(names.dead_letters, 0, 0)
    )
