"""Whom one subscriber's consumer works with."""

from collections.abc import Callable
from dataclasses import dataclass

from streamer.events import SubscriberName
from streamer.log.kafka.administrator import Administrator
from streamer.log.kafka.handover import Handover
from streamer.log.kafka.patience import Patience
from streamer.log.kafka.reading import Reading
from streamer.log.kafka.recorder import Recorder
from streamer.log.kafka.restorations import Restorations
from streamer.log.kafka.retention import OnHole
from streamer.log.kafka.settler import Settler
from streamer.pulse import Pulse


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
