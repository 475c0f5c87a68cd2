"""Records of the control topic: subscribers' controls, open orders, and the ids that redrives skip."""

from collections.abc import Collection

from streamer.controls import Control, ControlState, PositionOrder, Redrive, SnapshotOrder, Switch
from streamer.errors import ForeignRecord, LogMisconfigured
from streamer.events import SubscriberName
from streamer.log.kafka.cluster.producer import ProducerRecord, Tombstone
from streamer.log.records import (
    decode_control,
    decode_left_out,
    decode_position_order,
    decode_redrive,
    decode_snapshot_order,
    encode_control,
    encode_left_out,
    encode_position_order,
    encode_redrive,
    encode_snapshot_order,
)

_SUBSCRIBER = "subscriber"
_REDRIVE = "redrive"
# The skipped ids have their own record. Writing the order's record again would reopen an order
# that has ended in the meantime.
_LEFT_OUT = "left-out"
_SNAPSHOT = "snapshot"
_POSITION = "position"
_PARTITION = 0


def control_record(control: Control, topic: str) -> ProducerRecord:
    """Return the record that replaces the previous control of a subscriber."""
    return _record(topic, encode_control(control), _key(_SUBSCRIBER, control.subscriber))


def redrive_records(redrive: Redrive, topic: str) -> list[ProducerRecord | Tombstone]:
    """Return the record of an open redrive, or the tombstones of an ended redrive."""
    key = _key(_REDRIVE, redrive.id)
    if redrive.ended_at is None:
        return [_record(topic, encode_redrive(redrive), key)]
    return [Tombstone(topic, each, _PARTITION) for each in (key, _key(_LEFT_OUT, redrive.id))]


def left_out_record(redrive_id: str, letters: Collection[str], topic: str) -> ProducerRecord:
    """Return the record of the dead letters that a redrive skips, which applies while the redrive is open."""
    return _record(topic, encode_left_out(letters), _key(_LEFT_OUT, redrive_id))


def snapshot_record(order: SnapshotOrder, topic: str) -> ProducerRecord | Tombstone:
    """Return the record of an open snapshot order, or the tombstone of an ended order."""
    key = _key(_SNAPSHOT, order.id)
    if order.ended_at is None:
        return _record(topic, encode_snapshot_order(order), key)
    return Tombstone(topic, key, _PARTITION)


def position_record(order: PositionOrder, topic: str) -> ProducerRecord | Tombstone:
    """Return the record of an open position order, or the tombstone of an ended order."""
    key = _key(_POSITION, order.id)
    if order.ended_at is None:
        return _record(topic, encode_position_order(order), key)
    return Tombstone(topic, key, _PARTITION)


class AppliedControls:
    """The control state that results from all records applied so far."""

    def __init__(self) -> None:
        self._controls: dict[SubscriberName, Control] = {}
        self._redrives: dict[str, Redrive] = {}
        self._snapshots: dict[str, SnapshotOrder] = {}
        self._positions: dict[str, PositionOrder] = {}

    def apply(self, key: bytes | None, value: bytes | None) -> None:
        """Apply a record; unknown kinds of records, from a newer Streamer, are ignored.

        Raises `LogMisconfigured` for a record that can't be read. A record of a newer
        Streamer can be a pause, so such a record pauses the subscriber that is named in
        its key. A foreign record pauses the subscriber only if no valid record with the
        same key exists.
        """
        kind, _, name = (key or b"").decode("utf-8", "replace").partition("/")
        if kind == _SUBSCRIBER and value is None:
            self._controls.pop(SubscriberName(name), None)
        elif kind == _REDRIVE and value is None:
            self._redrives.pop(name, None)
        elif kind == _SUBSCRIBER:
            self._controls[SubscriberName(name)] = self._control(SubscriberName(name), value or b"")
        elif kind == _REDRIVE:
            self._redrives[name] = decode_redrive(value or b"")
        elif kind == _LEFT_OUT and value is not None and name in self._redrives:
            self._redrives[name] = self._redrives[name].without(decode_left_out(value))
        elif kind == _SNAPSHOT and value is None:
            self._snapshots.pop(name, None)
        elif kind == _SNAPSHOT:
            self._snapshots[name] = decode_snapshot_order(value or b"")
        elif kind == _POSITION and value is None:
            self._positions.pop(name, None)
        elif kind == _POSITION:
            self._positions[name] = decode_position_order(value or b"")

    def _control(self, subscriber: SubscriberName, value: bytes) -> Control:
        try:
            return decode_control(value)
        except ForeignRecord:
            self._controls.setdefault(subscriber, _unread(subscriber))
            raise
        except LogMisconfigured:
            self._controls[subscriber] = _unread(subscriber)
            raise

    def board(self) -> ControlState:
        """Return the current control state."""
        return ControlState(
            controls=dict(self._controls),
            redrives=dict(self._redrives),
            snapshots=dict(self._snapshots),
            positions=dict(self._positions),
        )


def _unread(subscriber: SubscriberName) -> Control:
    return Control(
        subscriber=subscriber,
        switch=Switch.PAUSED,
        by="streamer",
        at=0.0,
        reason=(
            "the stored state (paused or running) can't be read, so the subscriber stays paused: "
            "look for record.set_aside in the log output, then resume the subscriber"
        ),
    )


def _record(topic: str, value: bytes, key: bytes) -> ProducerRecord:
    return ProducerRecord(topic, value, key, _PARTITION, {"content-type": b"application/json"})


def _key(kind: str, name: str) -> bytes:
    return f"{kind}/{name}".encode("utf-8", "backslashreplace")
