"""Records of the control topic: one for each subscriber and each open redrive."""

from streamer.controls import Control, Redrive, Switch, Switchboard
from streamer.events import SubscriberName
from streamer.log.kafka.cluster.record import Record, Tombstone
from streamer.log.records import decode_control, decode_redrive, encode_control, encode_redrive

_SUBSCRIBER = "subscriber"
_REDRIVE = "redrive"
_PARTITION = 0


def control_record(control: Control, topic: str) -> Record:
    """Return the record that replaces a subscriber's earlier control."""
    return _record(topic, encode_control(control), _key(_SUBSCRIBER, control.subscriber))


def redrive_record(redrive: Redrive, topic: str) -> Record | Tombstone:
    """Return the record that replaces a redrive, or the tombstone of an ended one."""
    key = _key(_REDRIVE, redrive.id)
    if redrive.ended_at is not None:
        return Tombstone(topic, key, _PARTITION)
    return _record(topic, encode_redrive(redrive), key)


class ControlTable:
    """The switchboard that the records so far add up to."""

    def __init__(self) -> None:
        self._controls: dict[SubscriberName, Control] = {}
        self._redrives: dict[str, Redrive] = {}

    def apply(self, key: bytes | None, value: bytes | None) -> None:
        """Apply a record; unknown kinds of a newer Streamer are ignored.

        Raises `LogMisconfigured` for a record that cannot be read, after it has
        paused the subscriber that the key names: the record can be a pause.
        """
        kind, _, name = (key or b"").decode("utf-8", "replace").partition("/")
        if kind == _SUBSCRIBER and value is None:
            self._controls.pop(SubscriberName(name), None)
        elif kind == _REDRIVE and value is None:
            self._redrives.pop(name, None)
        elif kind == _SUBSCRIBER:
            self._controls[SubscriberName(name)] = _unread(SubscriberName(name))
            self._controls[SubscriberName(name)] = decode_control(value or b"")
        elif kind == _REDRIVE:
            self._redrives[name] = decode_redrive(value or b"")

    def board(self) -> Switchboard:
        """Return the present switchboard."""
        return Switchboard(controls=dict(self._controls), redrives=dict(self._redrives))


def _unread(subscriber: SubscriberName) -> Control:
    return Control(
        subscriber=subscriber,
        switch=Switch.PAUSED,
        by="streamer",
        at=0.0,
        reason="what was switched last cannot be read: look for record.ignored in the log, then resume",
    )


def _record(topic: str, value: bytes, key: bytes) -> Record:
    return Record(topic, value, key, _PARTITION, {"content-type": b"application/json"})


def _key(kind: str, name: str) -> bytes:
    return f"{kind}/{name}".encode("utf-8", "backslashreplace")
