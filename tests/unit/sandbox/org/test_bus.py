"""The event bus: replay ids, retention and listeners."""

from itertools import pairwise

import orjson
import pytest

from streamer.clock import TurnedClock
from streamer.sandbox.org.bus import HOUR_S, EventBus

CHANGES = "/data/ChangeEvents"
ACCOUNTS = "/data/AccountChangeEvent"
TOPIC = "/topic/OpenInvoices"


@pytest.fixture
def clock() -> TurnedClock:
    """Time that stands still."""
    return TurnedClock()


@pytest.fixture
def bus(clock: TurnedClock) -> EventBus:
    """A bus with nothing on it."""
    return EventBus(clock)


def publish(bus: EventBus, count: int, *paths: str) -> list[int]:
    """Publish some messages and return their replay ids."""
    return [bus.publish(paths or (CHANGES,), {"payload": {"n": n}}) for n in range(count)]


def test_replay_ids_rise_with_holes(bus: EventBus) -> None:
    """Replay ids only ever rise, and not by one, so that no client computes with them."""
    ids = publish(bus, 50)
    steps = {later - former for former, later in pairwise(ids)}
    assert min(steps) > 0
    assert len(steps) > 1


def test_position_passes_the_last_message(bus: EventBus, clock: TurnedClock) -> None:
    """Other orgs' messages move it on; it is valid for as long as a message's, and is not a message."""
    before = publish(bus, 1)[0]
    position = bus.advance()
    after = publish(bus, 1)[0]
    assert before < position < after
    assert [message.replay_id for message in bus.after(CHANGES, position)] == [after]
    assert bus.after(CHANGES, before) == bus.after(CHANGES, position)
    assert (bus.sequence, bus.is_valid(CHANGES, position)) == (2, True)
    clock.jump(72 * HOUR_S + 1)
    assert not bus.is_valid(CHANGES, position)


def test_positions_are_forgotten_in_time(bus: EventBus, clock: TurnedClock) -> None:
    """A bus on which nothing happens does not grow."""
    for _ in range(5_000):
        bus.advance()
        clock.jump(270)
    assert len(bus._ids) < 3_000


def test_message_carries_its_replay_id_beside_what_was_published(bus: EventBus) -> None:
    """The stored message is the published one plus `event.replayId`; the publisher's object is untouched."""
    data = {"payload": {"A": 1}, "event": {"EventUuid": "u"}}
    replay_id = bus.publish([CHANGES], data)
    [message] = bus.after(CHANGES, 0)
    assert orjson.loads(message.data) == {**data, "event": {"EventUuid": "u", "replayId": replay_id}}
    assert data["event"] == {"EventUuid": "u"}


def test_message_on_several_channels_is_stored_once(bus: EventBus) -> None:
    """All channels of a message share its bytes and its replay id."""
    publish(bus, 1, CHANGES, ACCOUNTS)
    assert bus.after(CHANGES, 0)[0] is bus.after(ACCOUNTS, 0)[0]


def test_split_events_share_a_replay_id(bus: EventBus) -> None:
    """Both halves lie before their replay id, and neither after it."""
    before, shared = publish(bus, 2)
    assert bus.publish([CHANGES], {"payload": {}}, replay_id=shared) == shared
    assert [m.replay_id for m in bus.after(CHANGES, before)] == [shared, shared]
    assert bus.after(CHANGES, shared) == []


def test_replay_id_never_falls(bus: EventBus) -> None:
    """A reused replay id is the latest one; an older one would break the order."""
    older, _ = publish(bus, 2)
    with pytest.raises(ValueError, match=str(older)):
        bus.publish([CHANGES], {}, replay_id=older)


def test_reading_since_a_place_goes_on_between_split_events(bus: EventBus) -> None:
    """A reader that got the first of two events with one replay id still gets the second."""
    [shared] = publish(bus, 1)
    first = bus.sequence
    bus.publish([CHANGES], {"payload": {"half": 2}}, replay_id=shared)
    assert [m.sequence for m in bus.since(CHANGES, first)] == [first + 1]


def test_reading_is_limited(bus: EventBus) -> None:
    """A limit returns the oldest."""
    ids = publish(bus, 5)
    assert [m.replay_id for m in bus.after(CHANGES, ids[0], 2)] == ids[1:3]
    assert [m.replay_id for m in bus.since(CHANGES, 0, 2)] == ids[:2]


def test_id_is_valid_until_its_retention_is_over(bus: EventBus) -> None:
    """Only ids that the bus issued are positions."""
    ids = publish(bus, 9)
    assert bus.is_valid(CHANGES, ids[4])
    never_issued = next(n for n in range(ids[0], ids[-1]) if n not in ids)
    assert not bus.is_valid(CHANGES, never_issued)
    assert not bus.is_valid(CHANGES, ids[-1] + 1)


async def test_messages_are_kept_for_72_hours(bus: EventBus, clock: TurnedClock) -> None:
    """An expired message is neither served nor a valid position."""
    [old] = publish(bus, 1)
    await clock.turn(2 * HOUR_S)
    [new] = publish(bus, 1)
    await clock.turn(70 * HOUR_S + 1)
    assert not bus.is_valid(CHANGES, old)
    assert bus.is_valid(CHANGES, new)
    assert [m.replay_id for m in bus.after(CHANGES, 0)] == [new]


async def test_push_topics_are_kept_for_a_day(bus: EventBus, clock: TurnedClock) -> None:
    """The older kinds of channel have a shorter retention on the same bus."""
    [replay_id] = publish(bus, 1, TOPIC, CHANGES)
    await clock.turn(25 * HOUR_S)
    assert bus.newest_replay_id(TOPIC) is None
    assert not bus.is_valid(TOPIC, replay_id)
    assert bus.is_valid(CHANGES, replay_id)


async def test_busy_bus_frees_what_is_past_its_time(bus: EventBus, clock: TurnedClock) -> None:
    """Publishing alone purges, even without a reader."""
    publish(bus, 10)
    await clock.turn(73 * HOUR_S)
    publish(bus, 1024, ACCOUNTS)
    assert bus._streams[CHANGES] == []
    assert len(bus._ids) <= 1024


def test_full_channel_drops_its_oldest(clock: TurnedClock) -> None:
    """Memory is bounded, and a position with a dropped message behind it is no longer valid."""
    bus = EventBus(clock, capacity=3)
    ids = publish(bus, 5)
    assert [m.replay_id for m in bus.after(CHANGES, 0)] == ids[2:]
    assert not bus.is_valid(CHANGES, ids[0])
    assert bus.is_valid(CHANGES, ids[1])


def test_reset_makes_every_position_invalid(bus: EventBus) -> None:
    """After a stream reset nothing is retained, and later ids differ from the earlier ones."""
    ids = publish(bus, 3)
    bus.reset()
    assert bus.newest_replay_id(CHANGES) is None
    assert not any(bus.is_valid(CHANGES, replay_id) for replay_id in ids)
    assert publish(bus, 1)[0] > ids[-1]


def test_ids_can_repeat_after_a_reset(bus: EventBus) -> None:
    """A stored id is then valid and stands for another message; what is read by sequence goes on."""
    ids, sequence = publish(bus, 3), bus.sequence
    bus.reset(repeat_ids=True)
    assert not any(bus.is_valid(CHANGES, replay_id) for replay_id in ids)
    assert publish(bus, 3) == ids
    assert bus.is_valid(CHANGES, ids[0])
    assert [message.replay_id for message in bus.since(CHANGES, sequence)] == ids


@pytest.mark.parametrize(("path", "hours"), [(CHANGES, 72), (TOPIC, 24)])
def test_purge_can_run_late(clock: TurnedClock, path: str, hours: int) -> None:
    """Messages past their retention then still replay, and are valid positions."""
    bus = EventBus(clock, purge_late_s=HOUR_S)
    [replay_id] = publish(bus, 1, path)
    clock.jump((hours + 1) * HOUR_S - 1)
    assert (bus.is_valid(path, replay_id), len(bus.after(path, 0))) == (True, 1)
    clock.jump(2)
    assert (bus.is_valid(path, replay_id), len(bus.after(path, 0))) == (False, 0)


def test_messages_expire_by_age_on_demand(bus: EventBus, clock: TurnedClock) -> None:
    """Those of that age and above are gone with their ids; later ones follow as before."""
    old = [*publish(bus, 2), bus.advance()]
    clock.jump(HOUR_S)
    [new] = publish(bus, 1)
    bus.expire(HOUR_S)
    assert [message.replay_id for message in bus.after(CHANGES, 0)] == [new]
    assert [bus.is_valid(CHANGES, each) for each in (*old, new)] == [False, False, False, True]
    bus.expire()
    [newest] = publish(bus, 1)
    assert (bus.is_valid(CHANGES, new), bus.is_valid(CHANGES, newest)) == (False, True)


def test_listener_hears_of_each_message(bus: EventBus) -> None:
    """Listeners are told the channels once the message can be read."""
    heard: list[tuple[str, int | None]] = []
    bus.listen(lambda paths: heard.append((paths[0], bus.newest_replay_id(paths[0]))))
    ids = publish(bus, 2)
    assert heard == [(CHANGES, replay_id) for replay_id in ids]
