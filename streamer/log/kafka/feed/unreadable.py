"""Records of event topics that hold no event."""

from confluent_kafka import Message

from streamer.errors import UnreadableEvent
from streamer.events import DeadLetter, Partition, Stage, SubscriberName

_CHANNEL_HEADER = "ce_sfchannel"


def dead_letter(
    message: Message, partition: Partition, error: UnreadableEvent, *, by: SubscriberName, now: float
) -> DeadLetter:
    """Return what is set aside of `message`, with its bytes; the same record gives the same id."""
    place = f"{partition.topic}/{partition.number}/{message.offset()}"
    channel = dict(message.headers() or ()).get(_CHANNEL_HEADER)
    return DeadLetter(
        id=f"{by}:{place}",
        stage=Stage.DISPATCH,
        channel=channel.decode("utf-8", "replace") if isinstance(channel, bytes) else "",
        reason="unreadable",
        error=f"{error} (at {place})",
        hint="find out who wrote it to the topic; a newer Streamer may have",
        failed_at=now,
        first_failed_at=now,
        raw=message.value() or b"",
        subscriber=by,
    )
