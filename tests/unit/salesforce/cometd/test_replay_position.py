"""The number with which a channel is subscribed."""

import pytest

from streamer.events import Channel, Checkpoint, OrgId, ReplayId, Start
from streamer.salesforce.cometd.answer import ReplayPosition

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
    assert ReplayPosition.after(where).replay() == number


def test_latest_without_any_event_is_read_again_in_full() -> None:
    """Once subscribed, nothing may be missed, though there is no id to resume from."""
    position = ReplayPosition.after(Start.LATEST)
    position.subscribed(now=5000.0)
    assert position.replay() == -2
    assert position.retained is not None
    assert 4000 < position.retained.since < 5000


@pytest.mark.parametrize(
    ("complete", "open_id", "number", "since"),
    [
        (b"\x00\x01", b"\x00\x02", -2, 940.0),
        (b"\x00\x01", None, -2, 940.0),
        (None, b"\x00\x02", -2, 940.0),
        (b"\x00\x01", b"7", -2, 940.0),
        (b"5", b"\x00\x02", 5, 0.0),
    ],
)
def test_position_of_the_other_transport_is_never_sent(
    complete: bytes | None, open_id: bytes | None, number: int, since: float
) -> None:
    """Everything retained is read, and the log's events are left out; after an id of CometD that is one."""
    position = ReplayPosition.after(after(complete, open_id))

    assert position.retained is not None
    assert (position.replay(), position.retained.since) == (number, since)
