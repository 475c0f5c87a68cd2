"""The number with which a channel is subscribed."""

import pytest

from streamer.errors import ReplayIdRefused
from streamer.events import Channel, Checkpoint, OrgId, ReplayId, Start
from streamer.salesforce.cometd.replay_position import ReplayPosition

CHANNEL = Channel(org=OrgId("00D000000000001EAA"), path="/data/ChangeEvents")


def after(replay_id: bytes | None, open_id: bytes | None) -> Checkpoint:
    """Return a checkpoint with these ids."""
    return Checkpoint(
        channel=CHANNEL,
        replay_id=ReplayId(replay_id) if replay_id else None,
        verified_at=1000.0,
        open_replay_id=ReplayId(open_id) if open_id else None,
    )


@pytest.mark.parametrize(
    ("where", "number"),
    [
        (Start.LATEST, -1),
        (Start.EARLIEST, -2),
        (after(b"5", b"7"), 5),
        (after(b"5", None), 5),
        (after(None, b"7"), -2),
        (after(None, None), -2),
    ],
)
def test_number_in_the_replay_map(where: Checkpoint | Start, number: int) -> None:
    """The last complete id counts, then the open one, then the start."""
    assert ReplayPosition.after(where, path=CHANNEL.path).replay() == number


def test_latest_without_any_event_is_read_again_in_full() -> None:
    """Once subscribed, nothing may be missed, though there is no id to resume from."""
    position = ReplayPosition.after(Start.LATEST, path=CHANNEL.path)
    position.subscribed(now=5000.0)
    assert position.replay() == -2
    assert position.since is not None
    assert 4000 < position.since < 5000


def test_position_of_another_transport_is_refused() -> None:
    """Opaque bytes can't be sent as a number."""
    with pytest.raises(ReplayIdRefused, match="another transport"):
        ReplayPosition.after(after(b"\x00\x00\x01", None), path=CHANNEL.path)
