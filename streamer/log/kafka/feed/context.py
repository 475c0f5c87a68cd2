"""Whom one subscriber's consumer works with."""

from collections.abc import Callable
from dataclasses import dataclass

from streamer.events import SubscriberName
from streamer.log.kafka.cluster.retry import RetryPolicy
from streamer.log.kafka.feed.buffer import FeedBuffer
from streamer.log.kafka.feed.decoder import RecordDecoder
from streamer.log.kafka.feed.recorder import Recorder
from streamer.log.kafka.feed.retention import OnHole
from streamer.log.kafka.parked.restorations import Restorations
from streamer.log.kafka.progress.settler import Settler
from streamer.log.kafka.topics.admin import KafkaAdmin
from streamer.observe.pulse import Pulse


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsumerContext:
    """Whom a member works with, from one consumer to the next.

    `number` gives each assignment a number of its own. A reader has
    `hand_over_s` seconds to hear that partitions are to go.
    """

    subscriber: SubscriberName
    buffer: FeedBuffer
    reading: RecordDecoder
    settler: Settler
    recorder: Recorder
    restorations: Restorations
    admin: KafkaAdmin
    retry: RetryPolicy
    on_hole: OnHole
    pulse: Pulse
    number: Callable[[], int]
    hand_over_s: float
