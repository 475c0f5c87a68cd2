"""The records of changes that Streamer writes, written by the probes without its checks."""

import time
from functools import lru_cache
from typing import Any

import orjson
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined] # public, not marked so

CHANNEL = "/data/ChangeEvents"

_KINDS = {"CREATE": "created", "UPDATE": "updated", "DELETE": "deleted", "UNDELETE": "undeleted"}
_TOPIC = {"max.message.bytes": str(4 * 1024 * 1024)}
_PRODUCER = {
    "compression.type": "lz4",
    "linger.ms": 5,
    "batch.size": 1_000_000,
    "partitioner": "murmur2_random",
    "message.max.bytes": 4 * 1024 * 1024,
    "queue.buffering.max.messages": 0,
    "queue.buffering.max.kbytes": 2**31 - 1,
    "delivery.report.only.error": True,
}


class ProbeRecords:
    """Writes changes of one org under one prefix, in transactions with the checkpoint."""

    def __init__(self, kafka: str, prefix: str, org: str) -> None:
        """Make the topics, and a producer."""
        topics = [NewTopic(f"{prefix}.cdc.Account", 6, config=_TOPIC), NewTopic(f"{prefix}.checkpoints", 8)]
        admin = AdminClient({"bootstrap.servers": kafka})
        for made in admin.create_topics(topics).values():
            made.result()
        self._producer = Producer({"bootstrap.servers": kafka, "transactional.id": prefix, **_PRODUCER})
        self._producer.init_transactions()
        self._prefix = prefix
        self._org = org
        self._source = f"/salesforce/{org}"
        self.begin = self._producer.begin_transaction

    def produce(self, header: dict[str, Any], fields: dict[str, Any], replay_id: str) -> None:
        """Produce one change, an event for each of its records."""
        entity, change, key = header["entityName"], header["changeType"], header["transactionKey"]
        sequence, committed_ms = header["sequenceNumber"], header["commitTimestamp"]
        for record_id in header["recordIds"]:
            data = {
                "record_id": record_id,
                "entity": entity,
                "change": change,
                "fields": fields,
                "changed_fields": header["changedFields"],
                "nulled_fields": [name for name, value in fields.items() if value is None],
                "transaction": {
                    "key": key,
                    "sequence": sequence,
                    "commit_number": header["commitNumber"],
                    "user": header["commitUser"],
                    "origin": header["changeOrigin"],
                },
            }
            headers = {
                "ce_specversion": b"1.0",
                "ce_type": f"salesforce.cdc.{entity}.{_KINDS[change]}",
                "ce_id": f"{key}:{sequence}:{record_id}",
                "ce_source": self._source,
                "ce_time": time_text(committed_ms),
                "ce_sfchannel": CHANNEL,
                "ce_sfreplayid": replay_id,
                "content-type": b"application/json",
                "ce_subject": record_id,
            }
            value, topic = orjson.dumps(data), f"{self._prefix}.cdc.{entity}"
            self._producer.produce(topic, value, record_id, headers=headers, timestamp=committed_ms)

    def commit(self, header: dict[str, Any], replay_id: str, before: str) -> None:
        """Commit the transaction with the checkpoint.

        `header` and `replay_id` come from the last message. More of it can come, so
        the checkpoint is at the message `before` it.
        """
        key, sequence = header["transactionKey"], header["sequenceNumber"]
        checkpoint = {
            "v": 1,
            "org": self._org,
            "path": CHANNEL,
            "replay_id": before,
            "verified_at": time.time(),
            "appended": [f"{key}:{sequence}:{record_id}" for record_id in header["recordIds"]],
            "open_replay_id": replay_id,
            "positioned_at": header["commitTimestamp"] / 1000,
            "skips_after": None,
        }
        value, topic = orjson.dumps(checkpoint), f"{self._prefix}.checkpoints"
        name = f"{self._org}{CHANNEL}"
        self._producer.produce(topic, value, name, headers={"content-type": b"application/json"})
        self._producer.commit_transaction()


@lru_cache(maxsize=1024)
def time_text(epoch_ms: int) -> str:
    """Return milliseconds since the epoch as RFC 3339 in UTC."""
    seconds, milliseconds = divmod(epoch_ms, 1000)
    return time.strftime(f"%Y-%m-%dT%H:%M:%S.{milliseconds:03d}Z", time.gmtime(seconds))
