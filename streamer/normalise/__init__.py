"""Conversion of transport messages to events: pure functions, one file for each kind.

A normaliser belongs to one channel. It raises nothing: it returns a message of
another shape than the channel promises as `Unreadable`.
"""

from collections.abc import Callable, Sequence
from typing import Any

from streamer.events import Channel, Event, Unreadable
from streamer.normalise.changes import ChangeNormaliser
from streamer.normalise.outbound import OutboundNormaliser
from streamer.normalise.platform_events import PlatformEventNormaliser

Normaliser = Callable[[Sequence[Any]], list[Event | Unreadable]]
"""Turns messages into their events, in order."""


def normaliser_for(channel: Channel, *, key: str | None = None) -> Normaliser:
    """Return the normaliser for the messages of `channel`.

    `key` names the field by which platform events are ordered; change events
    are ordered by their record.
    """
    if channel.path.startswith("/data/"):
        return ChangeNormaliser(channel)
    if channel.path.startswith("/outbound/"):
        return OutboundNormaliser(channel)
    return PlatformEventNormaliser(channel, key=key)


__all__ = ["Normaliser", "normaliser_for"]
