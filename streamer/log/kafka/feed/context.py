"""Whom one subscriber's consumer works with."""

from collections.abc import Callable
from dataclasses import dataclass

from streamer.events import SubscriberName
from streamer.log.kafka.cluster.retry import Patience
from streamer.log.kafka.feed.buffer import Handover
from streamer.log.kafka.feed.decoder import Reading
from streamer.log.kafka.feed.recorder import Recorder
from streamer.log.kafka.feed.retention import OnHole
from streamer.log.kafka.parked.restorations import Restorations
from streamer.log.kafka.progress.settler import Settler
from streamer.log.kafka.topics.admin import Administrator
from streamer.observe.pulse import Pulse


@dataclass(frozen=True, slots=True, kw_only=True)
class Crew:
    """Whom a member works with, from one consumer to the next.

    `number` gives each assignment a number of its own. A reader has
    `hand_over_s` seconds to hear that partitions are to go.
    """

    subscriber: SubscriberName
    handover: Handover
    reading: Reading
    settler: Settler
    recorder: Recorder
    restorations: Restorations
    administrator: Administrator
    patience: Patience
    on_hole: OnHole
    pulse: Pulse
    number: Callable[[], int]
    hand_over_s: float
