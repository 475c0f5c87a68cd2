"""Records of topics, as a consumer gets them."""

from collections import defaultdict
from collections.abc import Iterable

import orjson

from tests.schemas.checks import RECORDS, Checked

_HEADERS = {"receipts": "ReceiptHeaders", "dead-letters": "DeadLetterHeaders"}

Headers = Iterable[tuple[str, bytes]]


class CheckedTopics(Checked):
    """Records of topics that were checked, their headers too; dead letters once all of their parts came."""

    def __init__(self) -> None:
        super().__init__()
        self._parts: dict[str, dict[int, bytes]] = defaultdict(dict)

    def record_of(self, topic: str, value: bytes | None, headers: Headers) -> None:
        """Check a record beside events, of the topic with this name behind the prefix."""
        if topic not in RECORDS or value is None:
            return
        texts = _texts(headers)
        self.record(_HEADERS.get(topic, "RecordHeaders"), texts)
        if topic == "dead-letters":
            whole = self._joined(texts, value)
            if whole is None:
                return
            value = whole
        self.record(RECORDS[topic], orjson.loads(value))

    def event_of(self, value: bytes | None, headers: Headers) -> None:
        """Check a record of an event topic, in either mode; a tombstone has no value."""
        if value is None:
            return
        texts, body = _texts(headers), orjson.loads(value)
        if "ce_type" in texts:
            self.record("EventHeaders", texts)
            self.event({"type": texts["ce_type"], "data": body})
        else:
            self.record("StructuredHeaders", texts)
            self.record("CloudEvent", body)

    def _joined(self, headers: dict[str, str], value: bytes) -> bytes | None:
        parts = self._parts[headers["id"]]
        parts[int(headers["part"])] = value
        numbers = range(int(headers["parts"]))
        return b"".join(parts[each] for each in numbers) if parts.keys() >= set(numbers) else None


def _texts(headers: Headers) -> dict[str, str]:
    return {name: value.decode() for name, value in headers}
