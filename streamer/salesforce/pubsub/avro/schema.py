"""Schema of events, compiled to read them."""

import struct

from streamer.errors import UnreadableEvent
from streamer.events import JsonObject
from streamer.salesforce.pubsub.avro.bounds import largest_datum, types_in
from streamer.salesforce.pubsub.avro.changes import change_reader, is_change_event
from streamer.salesforce.pubsub.avro.compiler import ReaderCompiler
from streamer.salesforce.pubsub.avro.definitions import AvroRecord, UnusableSchema
from streamer.salesforce.pubsub.avro.parser import parse_record
from streamer.salesforce.pubsub.avro.primitives import Reader

_LONGEST_QUOTE = 40
# Measured: 250 to 500 bytes for each type.
_BYTES_EACH = 500


class EventSchema:
    """Reads events of one schema from binary Avro.

    Schemas are independent, even if they use one name for different records.
    """

    def __init__(self, schema_id: str, event: AvroRecord) -> None:
        self._id = schema_id
        self._name = event.name
        self._is_change = is_change_event(event)
        self._largest = largest_datum(event)
        self._size = _BYTES_EACH * types_in(event)
        self._read = change_reader(event) if self._is_change else _platform_event_reader(event)

    @classmethod
    def parse(cls, schema_id: str, schema_json: str) -> "EventSchema":
        """Return the schema that Salesforce gives for an id.

        Raises `UnusableSchema` for a text that is not an Avro record or has more
        than a million characters or 2,000 fields, and for types that nest too
        deeply, contain themselves, or take no bytes.
        """
        try:
            return cls(schema_id, parse_record(schema_json))
        except UnusableSchema as error:
            message = f"The event schema {schema_id[:_LONGEST_QUOTE]!r} can't be used: {error}"
            raise UnusableSchema(message) from error

    @property
    def id(self) -> str:
        """Id by which events name the schema."""
        return self._id

    @property
    def name(self) -> str:
        """API name of the event, without a namespace: `Order_Placed__e`, `AccountChangeEvent`."""
        return self._name

    @property
    def is_change(self) -> bool:
        """True for the schema of a change event."""
        return self._is_change

    @property
    def size(self) -> int:
        """Bytes of memory that the schema takes, roughly."""
        return self._size

    @property
    def largest_datum(self) -> int:
        """Most bytes that a payload can have."""
        return self._largest

    def decode(self, payload: bytes) -> JsonObject:
        """Return the `payload` object that CometD would carry for the datum `payload`.

        A union becomes its value, an enum its symbol's name, and bytes become
        base64. Date-times are `YYYY-MM-DDTHH:mm:ss.sssZ` and dates `YYYY-MM-DD`
        where the schema states them. A platform event holds all of its fields, null
        if unset; `change_reader` describes a change event.

        Raises `UnreadableEvent` for bytes that are not one datum, and for more than
        2 MB. The limit is lower for a schema whose lists hold objects.
        """
        if len(payload) > self._largest:
            raise self._unreadable(f"it has {len(payload)} bytes, more than {self._largest}")
        try:
            values, end = self._read(payload, 0)
        except (IndexError, struct.error) as error:
            raise self._unreadable("it ends too early") from error
        except UnicodeDecodeError as error:
            raise self._unreadable("it holds a text that is not UTF-8") from error
        except ValueError as error:
            raise self._unreadable(f"it holds {error}") from error
        if end < len(payload):
            raise self._unreadable(f"{len(payload) - end} bytes follow it")
        payload_object: JsonObject = values
        return payload_object

    def _unreadable(self, reason: str) -> UnreadableEvent:
        name, schema_id = self._name[:_LONGEST_QUOTE], self._id[:_LONGEST_QUOTE]
        return UnreadableEvent(f"The event is no {name} of the schema {schema_id!r}: {reason}")


def _platform_event_reader(event: AvroRecord) -> Reader:
    compiler = ReaderCompiler(keep_nulls=True)
    return compiler.event([compiler.field(field, of_event=True) for field in event.fields])
