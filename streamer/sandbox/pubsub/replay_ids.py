"""Replay ids on the wire, and the start of a subscription."""

from streamer.eventbus import FetchRequest, ReplayPreset
from streamer.sandbox.faults.armed import SUBSCRIBE, ArmedFaults, InjectionPoint
from streamer.sandbox.org.bus import EventBus
from streamer.sandbox.pubsub.errors import REPLAY_ID_CORRUPTED, REPLAY_ID_INVALID, invalid

_NUMBER_BYTES = 8
_LENGTHS = (8, 10)


class ReplayIds:
    """Encodes the bus's replay ids as bytes, and finds the position that a request names.

    Salesforce's replay ids have 8 bytes, big-endian, or these bytes and two zeros. As
    at Salesforce, a client can send either form.
    """

    def __init__(self, bus: EventBus, armed: ArmedFaults, length: int) -> None:
        self._bus = bus
        self._armed = armed
        self._tail = bytes(length - _NUMBER_BYTES)

    def encode(self, replay_id: int) -> bytes:
        """Return a replay id in the form that clients get."""
        return replay_id.to_bytes(_NUMBER_BYTES, "big") + self._tail

    def start(self, path: str, request: FetchRequest) -> int:
        """Return the bus's sequence number after which a subscription begins.

        Raises `CallAborted` for a replay id that is missing, has expired or was never
        issued.
        """
        match request.replay_preset:
            case ReplayPreset.LATEST:
                return self._bus.sequence
            case ReplayPreset.EARLIEST:
                return 0
            case ReplayPreset.CUSTOM if request.replay_id:
                return self._after(path, request.replay_id)
        raise invalid(REPLAY_ID_INVALID, "The replay preset CUSTOM needs a replay id.")

    def _after(self, path: str, given: bytes) -> int:
        replay_id = _decoded(given)
        refused = self._armed.strike("refuse_replay_id", InjectionPoint(on=SUBSCRIBE, path=path)) is not None
        if refused or replay_id is None or not self._bus.is_valid(path, replay_id):
            raise invalid(REPLAY_ID_CORRUPTED, "The replay id is corrupted, or its event has expired.")
        return self._bus.sequence_before(path, replay_id)


def _decoded(given: bytes) -> int | None:
    if len(given) not in _LENGTHS or any(given[_NUMBER_BYTES:]):
        return None
    number = int.from_bytes(given[:_NUMBER_BYTES], "big")
    return number if number < 1 << 63 else None
