"""Records of the events that a subscriber forwards to a downstream subscriber."""

from dataclasses import replace

from streamer.errors import LogMisconfigured, UnreadableEvent
from streamer.events import DeadLetter, Event, Forwarded, Stage
from streamer.log.kafka.cluster.names import Names
from streamer.log.kafka.cluster.producer import ANY_PARTITION, Headers, ProducerRecord
from streamer.log.kafka.records.dead_letters import dead_letter_records
from streamer.log.records import decode_event, encode_event

# Room for the key, headers and framing of a record.
_OVERHEAD_BYTES = 2_048


def forwarded_records(forwarded: Forwarded, names: Names, *, limit: int) -> list[ProducerRecord]:
    """Return the record of a forwarded event; its key is the event's key.

    An event that takes more than `limit` bytes with its receipts becomes a dead letter
    of the downstream subscriber. Otherwise, brokers would refuse the event, and the
    upstream subscriber would wait forever.
    """
    event = forwarded.event
    value, key = encode_event(event), event.key.encode()
    if len(value) + len(key) + _OVERHEAD_BYTES > limit:
        return dead_letter_records(_too_large(forwarded, limit), names.dead_letters)
    headers: dict[str, str | bytes | None] = {"type": event.type, "content-type": b"application/json"}
    return [ProducerRecord(names.forwarded(forwarded.to), value, key, ANY_PARTITION, headers)]


def decode_forwarded(key: bytes | None, value: bytes | None, headers: Headers | None) -> Event:  # noqa: ARG001 - as for other events
    """Return the event of a forwarded record; raises `UnreadableEvent`."""
    try:
        return decode_event(value or b"")
    except LogMisconfigured as exc:
        raise UnreadableEvent("Streamer did not write the record in the topic of forwarded events") from exc


def _too_large(forwarded: Forwarded, limit: int) -> DeadLetter:
    event = forwarded.event
    return DeadLetter(
        id=f"{event.id}:{forwarded.to}",
        stage=Stage.DISPATCH,
        channel=event.channel,
        reason="too_large",
        error=(
            f"The event and the receipts of the upstream subscribers have more than {limit} bytes together."
        ),
        hint=(
            "Streamer can't forward the event: send the event to the target by hand, then discard "
            "this dead letter."
        ),
        failed_at=forwarded.at,
        first_failed_at=forwarded.at,
        replay_id=event.replay_id,
        event=replace(event, receipts=None),
        subscriber=forwarded.to,
    )
