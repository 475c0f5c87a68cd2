"""Bad data from Salesforce or the log ends at most one repair, and reveals no secret."""

from dataclasses import replace
from typing import Any

import pytest

from streamer.continuity import gaps as gap_json
from streamer.continuity.progress import ReadingProgress
from streamer.errors import RecordsRefused, RetryLater
from streamer.events import Event, Repair
from streamer.log.records import encode_continuity, encode_event
from streamer.normalise import normaliser_for
from tests.messages import CHANGES, batch, change, events_of
from tests.unit.continuity import test_gaps as gaps
from tests.unit.continuity import test_readings as readings
from tests.unit.continuity.test_gaps import ADA, EVE

WHOLE = ReadingProgress(parts=None, since=readings.NOW).to_json()
PART = {"entity": "Contact"}
MANY = 100_000


def of_gap(**header: Any) -> dict[str, Any]:
    """Return a gap event of a contact, with a field that such events should not have."""
    message = change(1, ADA, kind="GAP_UPDATE", entity="Contact", Phone="0170 1234")
    message["data"]["payload"]["ChangeEventHeader"].update(header)
    return message


def _is_no_json(event: Event) -> bool:
    try:
        encode_event(event)
    except TypeError:
        return True
    return False


async def test_gap_that_waits_keeps_no_values() -> None:
    """They would pass protection by: what waits is not an event that is stored."""
    world = gaps.World()
    world.records.error = RetryLater("503")
    await world.read(batch(of_gap()), batch())

    [hole] = world.log.continuity
    assert hole.state is Repair.OPEN
    assert b"0170" not in encode_continuity(hole)


@pytest.mark.parametrize(
    "header",
    [
        {"recordIds": ["\ud800"]},
        {"recordIds": ["x" * MANY]},
        {"recordIds": ["x", ADA]},
        {"commitUser": 2**70},
        {"commitUser": "\ud800"},
        {"changeOrigin": "x" * MANY},
        {"commitNumber": [[]]},
        {"transactionKey": "x" * MANY},
        {"transactionKey": "\ud800"},
    ],
)
async def test_gap_of_any_header_makes_a_small_record(header: dict[str, Any]) -> None:
    """It waits, or its hole stays; another's is repaired."""
    world = gaps.World()
    world.log.faults.refuse = _is_no_json
    world.records.error = RetryLater("503")
    await world.read(batch(of_gap(**header), gaps.gap(2, EVE)))

    assert all(len(encode_continuity(hole)) < 8_000 for hole in world.log.continuity)
    world.records.error = None
    await world.read(batch())
    assert {hole.state for hole in world.log.continuity[-1:]} <= {Repair.FULL}
    assert all(len(each) == 18 for _, ids, _ in world.records.requests for each in ids)
    assert not await world.log.open_holes(CHANGES)


async def test_describe_of_any_form_ends_no_channel() -> None:
    """A list of preferences can have the name of a field."""
    world = gaps.World()
    names = ("Id", "UserPreferences", "UserPreferencesSmall")
    types = ("id", "string", "boolean")
    fields = [{"name": name, "type": each} for name, each in zip(names, types, strict=True)]
    world.records.describes["User"] = {"name": "User", "fields": fields}
    user = "005AB00000TEST1YAA"
    row = {"Id": user, "UserPreferences": "a", "UserPreferencesSmall": True}
    world.records.records["User"] = {user: row}
    await world.read(batch(change(1, user, kind="GAP_UPDATE", entity="User"), gaps.gap(2, ADA)), batch())

    assert world.holes[ADA].state is Repair.FULL
    [failed] = [hole for hole in world.log.continuity if user in hole.detail]
    assert failed.state is Repair.NONE


@pytest.mark.parametrize(
    "progress",
    [
        {**WHOLE, "parts": []},
        {**WHOLE, "parts": [{**PART, "fields": 7}]},
        {**WHOLE, "parts": [PART], "has_rows": True},
        {**WHOLE, "parts": [PART], "jobs": None},
        {**WHOLE, "parts": [PART], "jobs": "1"},
        {**WHOLE, "parts": [PART], "jobs": True},
        {**WHOLE, "parts": [{**PART, "since": 1e300}]},
        {**WHOLE, "parts": [{**PART, "since": True}]},
        {**WHOLE, "parts": [{**PART, "since": -1.0}]},
        {**WHOLE, "parts": [PART], "job": "bulk:1", "anchor": 1e300},
        {},
    ],
)
def test_progress_of_any_form_is_read_or_refused(progress: dict[str, Any]) -> None:
    """As the topic of continuity records holds it."""
    with pytest.raises(ValueError, match=r"\w"):
        ReadingProgress.of(progress)


async def test_defect_of_a_reading_ends_no_channel() -> None:
    """It ends the reading, whose hole stays."""
    world = readings.World()
    world.open(readings.hole())
    world.records.describes["Contact"] = {"fields": []}
    ended = await world.finish()

    assert ended.state is Repair.NONE
    assert "KeyError" in ended.detail


async def test_details_are_bounded() -> None:
    """Whatever an org answers."""
    world = readings.World()
    world.open(readings.hole())
    world.queries.error = RecordsRefused("x" * MANY, code="")
    ended = await world.finish()

    assert len(ended.detail) <= 1_000


def test_gap_is_read_as_it_was_written() -> None:
    """With all that a recovered event says."""
    [gap] = events_of(normaliser_for(CHANGES), of_gap())
    written = gap_json.gap_to_json(gap)
    assert written is not None
    bare = {name: gap.data[name] for name in ("record_id", "entity", "change", "transaction")}

    assert gap_json.gap_from_json(written) == replace(gap, data=bare)
