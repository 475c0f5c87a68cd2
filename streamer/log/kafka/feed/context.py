"""Dependencies that all consumers of one log, or of one subscriber, share."""

from collections.abc import Callable
from dataclasses import dataclass

from streamer.clock import Clock
from streamer.events import SubscriberName
from streamer.log.kafka.cluster.clients import Clients
from streamer.log.kafka.cluster.errors import RetryPolicy
from streamer.log.kafka.feed.buffer import FeedBuffer
from streamer.log.kafka.feed.settled_events import Recorder
from streamer.log.kafka.parked_restoration import Restorations
from streamer.log.kafka.progress.assignment import AssignedPartitions
from streamer.log.kafka.progress.settler import KafkaSettler
from streamer.log.kafka.states.restoration import StateRestorations
from streamer.log.kafka.states.states import KafkaStates
from streamer.log.kafka.topics.admin import KafkaAdmin
from streamer.log.kafka.topics.provisioner import TopicProvisioner
from streamer.observe.process import Pulse, Pulses


@dataclass(frozen=True, slots=True, kw_only=True)
class LogContext:
    """Dependencies that all consumers of one log share."""

    clients: Clients
    topics: TopicProvisioner
    pulses: Pulses
    states: KafkaStates


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsumerContext:
    """Dependencies and state of a group member, which stay when the member replaces its consumer.

    `assigned` contains the partitions of this process. Each call of `number` returns a
    new assignment number. The loop has `hand_over_s` seconds to process a revocation.
    """

    subscriber: SubscriberName
    buffer: FeedBuffer
    assigned: AssignedPartitions
    settler: KafkaSettler
    recorder: Recorder
    restorations: Restorations | StateRestorations
    admin: KafkaAdmin
    clock: Clock
    retry: RetryPolicy
    pulse: Pulse
    number: Callable[[], int]
    hand_over_s: float
