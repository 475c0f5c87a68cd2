"""Events that share a replay id with the position: wherever reading is cut or moved, each comes once."""

from dataclasses import replace
from typing import Any

import pytest

from streamer.controls import ChannelPosition
from streamer.events import Batch, ReplayId
from tests.messages import CHANGES, batch, change
from tests.unit.ingest.test_positions import ORDER, T0, World

MESSAGES = [
    change(1, "001A"),
    change(2, "001B"),
    *(change(3, each) for each in ("001C", "001D", "001E")),
    change(4, "001F"),
    *(change(5, each) for each in ("001G", "001H")),
    change(6, "001I"),
]
RECORDS = [each["data"]["payload"]["ChangeEventHeader"]["recordIds"][0] for each in MESSAGES]
ENDS = [[], [batch(at=T0 + 5)]]
"""Continuation after the last event: nothing, or a quiet answer, which closes the position."""


def places(at: int) -> list[dict[str, Any]]:
    """Return places that do not lie beyond the message `at`."""
    ids = dict.fromkeys(each["data"]["event"]["replayId"] for each in MESSAGES[:at])
    named = [{"place": ChannelPosition.REPLAY_ID, "replay_id": ReplayId(str(each).encode())} for each in ids]
    return [{"place": ChannelPosition.EARLIEST}, {"place": ChannelPosition.SINCE, "since": T0 - 3600}, *named]


async def read_first(at: int, end: list[Batch], *, one_by_one: bool) -> World:
    """Return a world whose log holds the messages before `at`."""
    pieces = [[each] for each in MESSAGES[:at]] if one_by_one else [MESSAGES[:at]]
    world = World()
    world.source.script[CHANGES.path] = [*(batch(*each) for each in pieces), *end]
    await world.run()
    assert world.records == RECORDS[:at]
    return world


@pytest.mark.parametrize("at", range(1, len(MESSAGES)))
@pytest.mark.parametrize("one_by_one", [False, True])
async def test_restart_and_order_within_a_shared_id_lose_and_repeat_nothing(
    *, at: int, one_by_one: bool
) -> None:
    """A quiet answer closes an id only when all its events have come, so it ends none in the middle."""
    is_whole = MESSAGES[at]["data"]["event"]["replayId"] != MESSAGES[at - 1]["data"]["event"]["replayId"]
    for end in ENDS if is_whole else ENDS[:1]:
        for place in [None, *places(at)]:
            world = await read_first(at, end, one_by_one=one_by_one)
            world.source.script[CHANGES.path] = [batch(*MESSAGES), batch(at=T0 + 9)]
            await world.run(*([] if place is None else [replace(ORDER, **place)]))

            assert world.records == RECORDS, (place, end)
            await world.run()
            assert world.records == RECORDS, (place, end)


@pytest.mark.parametrize("at", range(1, len(MESSAGES)))
async def test_id_further_on_skips_up_to_the_end_of_its_events(*, at: int) -> None:
    """All events of the named id are skipped, and all behind it come."""
    for named in range(1, 7):
        before = MESSAGES[at - 1]["data"]["event"]["replayId"]
        if named <= before:
            continue
        world = await read_first(at, [], one_by_one=False)
        world.source.script[CHANGES.path] = [batch(*MESSAGES), batch(at=T0 + 9)]
        await world.run(
            replace(ORDER, place=ChannelPosition.REPLAY_ID, replay_id=ReplayId(str(named).encode()))
        )
        behind = [
            record
            for message, record in zip(MESSAGES, RECORDS, strict=True)
            if message["data"]["event"]["replayId"] > named
        ]

        assert world.records == RECORDS[:at] + behind
