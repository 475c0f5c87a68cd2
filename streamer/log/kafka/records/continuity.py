"""Records of continuity: each state replaces the former one of its id."""

from confluent_kafka import Message

from streamer.events import ContinuityRecord
from streamer.log.kafka.cluster.record import ANY_PARTITION, ProducerRecord
from streamer.log.records import decode_continuity, encode_continuity


def continuity_message(record: ContinuityRecord, topic: str) -> ProducerRecord:
    """Return a state of a continuity record for `topic`, whose compaction keeps the last."""
    key = record.id.encode("utf-8", "backslashreplace")
    return ProducerRecord(
        topic, encode_continuity(record), key, ANY_PARTITION, {"content-type": b"application/json"}
    )


def continuity_of(message: Message) -> ContinuityRecord:
    """Return the state that `message` holds; raises `LogMisconfigured`.

    Records of the former format had the channel as their key, so their offset is the id.
    """
    return decode_continuity(message.value() or b"", former_id=f"former:{message.offset()}")
