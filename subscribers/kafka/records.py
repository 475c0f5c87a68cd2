"""Records of deliveries: topic, key, value and headers."""

import re
from typing import Any, NamedTuple

from streamer.cloud_events import JSON, STRUCTURED, binary_headers, structured_document
from streamer.events import Delivery, Reject, Skip
from streamer.exact_json import exact_json
from subscribers.expression import Query
from subscribers.kafka.settings import PLACE, KafkaSettings

_NOT_IN_A_TOPIC = re.compile(r"[^A-Za-z0-9._-]")
_MAX_TOPIC_LENGTH = 249


class Record(NamedTuple):
    """A record to write; one without a value is a tombstone."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: dict[str, str | bytes | None]


class _Unfit(Exception):
    """The event makes no record."""

    def __init__(self, reason: str, hint: str) -> None:
        super().__init__(reason)
        self.rejection = Reject(reason=reason, hint=hint, sent=False)


class Records:
    """Makes the records of one subscriber's deliveries."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        # Texts and paths take turns, beginning and ending with a text.
        self._topic = [
            Query(part) if number % 2 else part for number, part in enumerate(PLACE.split(settings.topic))
        ]
        self._key = None if settings.key is None else Query(settings.key)
        self._headers = {name: Query(expression) for name, expression in settings.headers.items()}

    def of(self, delivery: Delivery) -> Record | Skip | Reject:
        """Return the record of `delivery`, or the outcome of a delivery that makes none."""
        deletes = delivery.event.is_deletion
        if deletes and self._settings.deletions == "skip":
            return Skip(reason="the record was deleted: deletions in the settings says so", sent=False)
        is_tombstone = deletes and self._settings.deletions == "tombstone"
        if delivery.body == {} and not is_tombstone:
            return Skip(reason="the event carries no field that body sends", sent=False)
        try:
            headers = self._headers_of(delivery)
            value = None if is_tombstone else self._value_of(delivery)
            return Record(self._topic_of(delivery), self._key_of(delivery), value, headers)
        except _Unfit as unfit:
            return unfit.rejection

    def _topic_of(self, delivery: Delivery) -> str:
        topic = "".join(part if isinstance(part, str) else _name(part, delivery) for part in self._topic)
        if len(topic) > _MAX_TOPIC_LENGTH or topic in {".", ".."}:
            raise _Unfit(
                f"topic ({self._settings.topic}) makes a name that Kafka does not take",
                f"let it make names of at most {_MAX_TOPIC_LENGTH} characters",
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
                f"key ({self._settings.key}) finds no key in the event",
                "let key find a text or a whole number in every event that arrives here, or set key: null",
            )
        return _encoded("key", found)

    def _value_of(self, delivery: Delivery) -> bytes:
        value = delivery.event.data if delivery.body is None else delivery.body
        if self._settings.content_mode == "structured":
            value = structured_document(delivery.event, value)
        return _json("body", value)

    def _headers_of(self, delivery: Delivery) -> dict[str, str | bytes | None]:
        headers: dict[str, str | bytes | None]
        match self._settings.content_mode:
            case "binary":
                headers = binary_headers(delivery.event, _encoded("type", delivery.event.type))
            case "structured":
                headers = {"content-type": STRUCTURED}
            case "plain":
                headers = {"content-type": JSON}
        for name, query in self._headers.items():
            found = query.of(delivery)
            if found is not None:
                key = f"headers.{name}"
                headers[name] = _encoded(key, found) if isinstance(found, str) else _json(key, found)
        # The client raises for a text that UTF-8 can't hold.
        return {
            name: _encoded(name, value) if isinstance(value, str) else value
            for name, value in headers.items()
        }


def _name(query: Query, delivery: Delivery) -> str:
    found = query.name_of(delivery)
    if found is None:
        raise _Unfit(
            "topic names a field that the event does not carry",
            "let topic name fields that every event carries, or select the events by when",
        )
    return _NOT_IN_A_TOPIC.sub("_", found)


def _encoded(what: str, text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as exc:
        raise _Unfit(f"{what} is a text that UTF-8 can't hold", "change what it is taken from") from exc


def _json(what: str, value: Any) -> bytes:
    try:
        return exact_json(value)
    except TypeError as exc:
        raise _Unfit(f"{what} can't be written as JSON: {exc}", "change its mapping") from exc
