"""Records of deliveries: topic, key, value and headers."""

import re
from typing import Any, NamedTuple

from streamer.cloud_events import Message, emptied, message, written
from streamer.events import Delivery, Reject, Skip
from subscribers.expression import Query
from subscribers.kafka.settings import KafkaSettings
from subscribers.placeholders import Template, Unfilled

_NOT_IN_A_TOPIC = re.compile(r"[^A-Za-z0-9._-]")
_JSON = "application/json"
_MAX_TOPIC_LENGTH = 249


class Record(NamedTuple):
    """A record to write; a record without a value is a tombstone."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: dict[str, bytes]


class _Unfit(Exception):
    """No record can be made from the event."""

    def __init__(self, reason: str, hint: str) -> None:
        super().__init__(reason)
        self.rejection = Reject(reason=reason, hint=hint, sent=False)


class Records:
    """Creates the records of one subscriber's deliveries."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._topic = Template(settings.topic)
        self._key = None if settings.key is None else Query(settings.key)
        self._headers = {name: Query(expression) for name, expression in settings.headers.items()}

    def of(self, delivery: Delivery) -> Record | Skip | Reject:
        """Return the record of `delivery`, or the outcome if there is no record."""
        deletes = delivery.event.is_deletion
        if deletes and self._settings.deletions == "skip":
            return Skip(reason="the record was deleted, and the setting deletions is skip", sent=False)
        is_tombstone = deletes and self._settings.deletions == "tombstone"
        mode = self._settings.content_mode
        sent = emptied(delivery, mode, _JSON) if is_tombstone else message(delivery, mode)
        if not isinstance(sent, Message):
            return sent
        try:
            return Record(
                topic=self._topic_of(delivery),
                key=self._key_of(delivery),
                value=None if is_tombstone else sent.content.data,
                headers=self._headers_of(delivery, sent),
            )
        except _Unfit as unfit:
            return unfit.rejection

    def _topic_of(self, delivery: Delivery) -> str:
        try:
            topic = self._topic.filled(delivery, _name)
        except Unfilled as missing:
            raise _Unfit(
                f"topic: {missing}",
                "use only placeholders in topic that every event of this subscriber has",
            ) from missing
        if len(topic) > _MAX_TOPIC_LENGTH or topic in {".", ".."}:
            raise _Unfit(
                f"topic ({self._settings.topic}) gives a name that Kafka does not accept",
                (
                    f"correct topic, so that the names have at most {_MAX_TOPIC_LENGTH} characters "
                    "and are not . or .."
                ),
            )
        return topic

    def _key_of(self, delivery: Delivery) -> bytes | None:
        if self._key is None:
            return None
        found = self._key.of(delivery)
        if isinstance(found, int) and not isinstance(found, bool):
            found = str(found)
        if not isinstance(found, str) or not found:
            raise _Unfit(
                f"key ({self._settings.key}) gives no key for this event",
                (
                    "correct key, so that the expression gives a text or a whole number for every "
                    "event of this subscriber, or set key: null"
                ),
            )
        return _encoded("key", found)

    def _headers_of(self, delivery: Delivery, sent: Message) -> dict[str, bytes]:
        # Encode here, because the client raises an error for a text that UTF-8 can't hold.
        headers = {f"ce_{name}": _encoded(name, value) for name, value in sent.attributes.items()}
        headers["content-type"] = _encoded("content.type", sent.content.type)
        if delivery.traceparent is not None:
            headers["traceparent"] = delivery.traceparent.encode()
        for name, query in self._headers.items():
            found = query.of(delivery)
            if found is not None:
                key = f"headers.{name}"
                headers[name] = _encoded(key, found) if isinstance(found, str) else _json(key, found)
        return headers


def _name(value: str) -> str:
    return _NOT_IN_A_TOPIC.sub("_", value)


def _encoded(what: str, text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as exc:
        raise _Unfit(
            f"{what} is a text that can't be encoded in UTF-8",
            "correct the field or the text from which this value comes",
        ) from exc


def _json(what: str, value: Any) -> bytes:
    found = written(value)
    if isinstance(found, Reject):
        raise _Unfit(f"{what}: {found.reason}", found.hint)
    return found
