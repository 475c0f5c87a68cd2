"""Everything in Kafka's topics: keys, headers and values, even of aborted transactions."""

from collections import defaultdict
from contextlib import closing
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

from tests.waiting import LIMIT_S


def content_of_topics(log: dict[str, Any]) -> dict[str, bytes]:
    """Return the content of each topic of the log with these settings, by its name behind the prefix."""
    options = {
        "bootstrap.servers": log["bootstrap_servers"],
        "group.id": f"{log['prefix']}-canaries",
        "isolation.level": "read_uncommitted",
        "enable.auto.commit": False,
        "enable.partition.eof": True,
    }
    content: dict[str, bytes] = {}
    with closing(Consumer(options)) as consumer:
        found = consumer.list_topics(timeout=LIMIT_S).topics
        for name in found:
            kept, prefix = _name(name, log), log["prefix"]
            if kept is not None:
                content[kept] = _content(consumer, name, list(found[name].partitions))
            assert kept is not None or prefix not in name
    return content


def _name(topic: str, log: dict[str, Any]) -> str | None:
    events = log["topic"].partition(".")[0]
    for prefix in (f"{log['prefix']}.", f"{events}."):
        if topic.startswith(prefix):
            return topic.removeprefix(prefix)
    return None


def _content(consumer: Consumer, topic: str, partitions: list[int]) -> bytes:
    """Return the values of a topic in their order, as a large letter lies in parts, and keys and headers."""
    consumer.assign([TopicPartition(topic, number, OFFSET_BEGINNING) for number in partitions])
    values: dict[int, list[bytes]] = defaultdict(list)
    beside: list[bytes] = []
    ends = 0
    while ends < len(partitions):
        message = consumer.poll(LIMIT_S)
        assert message is not None, f"{topic} can't be read"
        if message.error() is not None:
            ends += 1
            continue
        values[message.partition() or 0].append(message.value() or b"")
        headers = [part for pair in message.headers() or () for part in pair]
        beside += [message.key() or b"", *(_bytes(part) for part in headers)]
    return b"\n".join([*(b"".join(each) for each in values.values()), *beside])


def _bytes(part: str | bytes | None) -> bytes:
    return part.encode() if isinstance(part, str) else part or b""
