"""Conversion of transport messages to events: pure functions, one file for each kind.

A normaliser belongs to one channel. It raises nothing: a message without the
form that the channel promises becomes `Unreadable`.
"""

from collections.abc import Callable, Sequence
from typing import Any

from streamer.channel_paths import ChannelKind
from streamer.events import Channel, Event, Unreadable
from streamer.normalise.changes import ChangeNormaliser
from streamer.normalise.messages import (
    GenericNormaliser,
    OutboundNormaliser,
    PlatformEventNormaliser,
    PushTopicNormaliser,
)

Normaliser = Callable[[Sequence[Any]], list[Event | Unreadable]]
"""Turns messages into their events, in order."""


def normaliser_for(channel: Channel, *, key: str | None = None) -> Normaliser:
    """Return the normaliser for the messages of `channel`.

    `key` names the field that orders platform events and generic events. Change
    events and PushTopic notifications are ordered by their record.
    """
    match ChannelKind.of(channel.path):
        case ChannelKind.CHANGES:
            return ChangeNormaliser(channel)
        case ChannelKind.PUSH_TOPIC:
            return PushTopicNormaliser(channel)
        case ChannelKind.GENERIC:
            return GenericNormaliser(channel, key=key)
        case ChannelKind.OUTBOUND:
            return OutboundNormaliser(channel)
        case ChannelKind.EVENTS:
            return PlatformEventNormaliser(channel, key=key)


__all__ = ["Normaliser", "normaliser_for"]
