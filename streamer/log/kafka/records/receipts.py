"""Records of receipts, each in the partition of its event's key."""

from dataclasses import replace

from streamer.events import Receipt
from streamer.log.kafka.cluster.record import ANY_PARTITION, ProducerRecord
from streamer.log.kafka.records.chunks import CHUNK_BYTES
from streamer.log.records import encode_receipt

_KEPT_CHARACTERS = 20_000


def receipt_record(receipt: Receipt, topic: str) -> ProducerRecord:
    """Return the record of `receipt`, with the event's own key.

    An answer that can be too large for a broker is cut to its first 20,000
    characters, as text: it must not cost the receipt, or the event would be
    delivered again.
    """
    value = encode_receipt(receipt)
    if len(value) > CHUNK_BYTES:
        value = encode_receipt(replace(receipt, answer={"text": repr(receipt.answer)[:_KEPT_CHARACTERS]}))
    headers: dict[str, str | bytes | None] = {
        "subscriber": receipt.subscriber,
        "content-type": b"application/json",
    }
    return ProducerRecord(topic, value, receipt.event_key.encode(), ANY_PARTITION, headers)
