"""Envelopes of states: the forms in which the value of a state topic can hold the whole record.

Source: Debezium's documentation, data change events of its connectors (`before`, `after`,
`op`, `ts_ms` and `source`).
"""

from dataclasses import dataclass

from streamer.errors import UnreadableEvent
from streamer.events import JsonObject
from streamer.log.kafka.records.events import timestamp_ms
from streamer.log.kafka.schemas.record_types import AFTER, BEFORE, FIELDS, RECORD_ID, EnvelopeForm, is_own

_ABOUT = ("event_id", "commit_number", "sequence", "read_at", "omitted")
STARTS = (b'{"entity"', b'{"record_id"', b'{"op"')
"""Beginnings of a state in JSON, one for each envelope."""
PLAIN_START = STARTS[0]
"""Beginning of a state in the form that the local copies have as well."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StateEnvelope:
    """Envelope of the values in state topics.

    `name` and `version` stand in the `source` of Debezium's envelope.
    """

    form: EnvelopeForm = "streamer"
    name: str = ""
    version: str = ""

    @property
    def has_before(self) -> bool:
        """True if a value also has the record before its change."""
        return self.form == "debezium"

    def of_state(self, state: JsonObject, before: JsonObject | None, now_ms: int) -> JsonObject:
        """Return the value for the state `state` of a record, which had the fields `before`."""
        match self.form:
            case "streamer":
                return state
            case "flat":
                about = {name: value for name, value in state.items() if name not in {FIELDS, RECORD_ID}}
                return {RECORD_ID: state[RECORD_ID], **about, **state[FIELDS]}
            case "debezium":
                first = "c" if "commit_number" in state else "r"
                return self._debezium(first if before is None else "u", state, before, state[FIELDS], now_ms)

    def of_deletion(self, state: JsonObject, before: JsonObject | None, now_ms: int) -> JsonObject | None:
        """Return the value before the tombstone of a record, or `None` if there is only a tombstone.

        `state` is as for `of_state`, but its fields do not matter.
        """
        if before is None or not self.has_before:
            return None
        return self._debezium("d", state, before, None, now_ms)

    def _debezium(
        self,
        op: str,
        state: JsonObject,
        before: JsonObject | None,
        after: JsonObject | None,
        now_ms: int,
    ) -> JsonObject:
        record_id = state[RECORD_ID]
        return {
            "op": op,
            "ts_ms": now_ms,
            BEFORE: None if before is None else {RECORD_ID: record_id, **before},
            AFTER: None if after is None else {RECORD_ID: record_id, **after},
            "source": {
                "version": self.version,
                "connector": "streamer",
                "name": self.name,
                "table": state["entity"],
                "snapshot": "false" if "commit_number" in state else "true",
                "ts_ms": timestamp_ms(state["changed_at"], now_ms),
                **{name: state[name] for name in _ABOUT if name in state},
            },
        }


def state_in(value: JsonObject, entity: str) -> JsonObject | None:
    """Return the state in a value of a state topic of `entity`, in whichever envelope.

    The result has the record's id, the fields and the omitted fields; it is `None` for
    a deletion. Raises `UnreadableEvent`.
    """
    try:
        if FIELDS in value:
            return value
        # Avro has no value that is null, so a deletion lacks the record after it.
        about, row = (value["source"], value.get(AFTER)) if "op" in value else (value, value)
        if row is None:
            return None
        state: JsonObject = {"entity": entity, RECORD_ID: row[RECORD_ID]}
        state[FIELDS] = {name: each for name, each in row.items() if is_own(name)}
        return state | {name: about[name] for name in _ABOUT if name in about}
    except (LookupError, TypeError, AttributeError) as exc:
        raise UnreadableEvent("the value is not a state of a record") from exc
