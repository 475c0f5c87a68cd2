"""Large texts that came as diffs become whole, or stay diffs that the event names."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from streamer.clock import TurnedClock
from streamer.errors import RetryLater
from streamer.ingest.reading.large_texts import LargeTexts, TextCache
from streamer.ingest.reading.rereading import Rereading
from streamer.normalise import normaliser_for
from streamer.normalise.changes import LONGEST_TEXT
from streamer.observe.metrics import Metrics
from streamer.salesforce.memory import MemoryRecords
from streamer.sandbox.org.text_diff import text_diff
from tests.messages import CHANGES, change, events_of

READ = normaliser_for(CHANGES)
LINES = [f"line {number} of a text that is long enough to be sent as a diff" for number in range(40)]
FIRST, SECOND, THIRD = ("\n".join([*LINES, last]) for last in ("first", "second", "third"))
MODIFIED = "2025-01-01T00:00:07.000Z"


def told(former: str, new: str) -> dict[str, str | None]:
    """Return what an event holds in place of `new`."""
    return {"diff": text_diff(former, new)}


@dataclass(kw_only=True)
class World:
    """The large texts of a channel."""

    rereads: bool = False
    records: MemoryRecords = field(default_factory=MemoryRecords)
    clock: TurnedClock = field(default_factory=TurnedClock)
    metrics: Metrics = field(init=False)
    texts: LargeTexts = field(init=False)

    def __post_init__(self) -> None:
        """Know no text."""
        self.metrics = Metrics(clock=self.clock)
        rereading = Rereading(channel=CHANGES, records=self.records, clock=self.clock)
        self.texts = LargeTexts(
            cache=TextCache(1_000_000),
            clock=self.clock,
            observer=self.metrics.channel(CHANGES),
            rereading=rereading if self.rereads else None,
        )

    async def data(self, *messages: Any) -> Sequence[dict[str, Any]]:
        """Return the data of the events of `messages`."""
        return [event.data for event in await self.texts.completed(events_of(READ, *messages))]

    def count(self, result: str) -> float | None:
        """Return how many diffs had a result."""
        labels = {"channel": CHANGES.path, "result": result}
        return self.metrics.registry.get_sample_value("streamer_large_text_diffs_total", labels)


def org_with(text: Any, modified: str = "2025-01-01T00:00:09.000+0000") -> World:
    """Return a world that reads records again; the org has one."""
    records = MemoryRecords({"Account": {"001A": {"Description": text, "LastModifiedDate": modified}}})
    return World(rereads=True, records=records)


async def test_diffs_after_the_whole_text_are_applied() -> None:
    """In one answer and in the next, each to what the one before it led to."""
    world = World()
    first = await world.data(
        change(1, kind="CREATE", Description=FIRST), change(2, Description=told(FIRST, SECOND))
    )
    [second] = await world.data(change(3, Description=told(SECOND, THIRD), Phone="1"))

    assert [data["fields"]["Description"] for data in first] == [FIRST, SECOND]
    assert second["fields"] == {"Description": THIRD, "Phone": "1"}
    assert "diff_fields" not in first[1] | second
    assert "reread" not in first[1] | second
    assert world.count("applied") == 2


async def test_diff_without_a_former_text_stays() -> None:
    """As after a restart, and for a record that is not in the memory."""
    world = World()
    diff = told(FIRST, SECOND)
    [data] = await world.data(change(1, "001B", Description=diff))

    assert data["fields"]["Description"] == diff
    assert data["diff_fields"] == ["Description"]
    assert world.count("marked") == 1


async def test_text_that_was_missed_in_between_is_not_guessed() -> None:
    """The diff fits the lines, but not the hash."""
    world = World()
    other = SECOND.replace("line 7", "LINE 7")
    [_, missed, after] = await world.data(
        change(1, Description=FIRST),
        change(2, Description=told(other.replace("second", "first"), other)),
        change(3, Description=told(FIRST, SECOND)),
    )

    assert missed["diff_fields"] == ["Description"]
    # A text that proved to be out of date is forgotten.
    assert after["diff_fields"] == ["Description"]


async def test_event_that_is_read_again_has_the_same_text() -> None:
    """A session that is lost repeats events."""
    world = World()
    message = change(2, Description=told(FIRST, SECOND))
    [_, once, again] = await world.data(change(1, Description=FIRST), message, message)

    assert once == again


async def test_records_of_a_merged_change_have_texts_of_their_own() -> None:
    """They share their fields in the message."""
    world = World()
    await world.data(change(1, "001A", Description=FIRST))
    [known, unknown] = await world.data(change(2, "001A", "001B", Description=told(FIRST, SECOND)))

    assert known["fields"]["Description"] == SECOND
    assert unknown["fields"]["Description"] == told(FIRST, SECOND)
    assert unknown["diff_fields"] == ["Description"]


async def test_event_without_large_texts_stays_the_same_object() -> None:
    """Nothing is copied for it."""
    [event] = events_of(READ, change(1, Phone="1"))

    assert (await World().texts.completed([event]))[0] is event


async def test_record_that_is_unchanged_since_gives_the_very_text() -> None:
    """Its hash is the diff's, so the event is as if the diff had been applied."""
    [data] = await org_with(SECOND).data(change(1, Description=told(FIRST, SECOND)))

    assert data["fields"]["Description"] == SECOND
    assert not {"diff_fields", "reread"} & data.keys()


async def test_record_that_has_changed_since_is_told() -> None:
    """The event says which values are not its own, and from when they are."""
    world = org_with(THIRD)
    [data] = await world.data(change(1, Description=told(FIRST, SECOND), LastModifiedDate=MODIFIED))

    assert data["fields"]["Description"] == THIRD
    assert data["reread"] == {"fields": ["Description"], "last_modified": "2025-01-01T00:00:09Z"}
    assert "diff_fields" not in data
    assert world.count("reread") == 1


async def test_text_that_was_read_again_serves_the_events_that_follow() -> None:
    """The change that made it, and the next one."""
    world = org_with(THIRD)
    [_, third] = await world.data(
        change(1, Description=told(FIRST, SECOND)), change(2, Description=told(SECOND, THIRD))
    )
    [fourth] = await world.data(change(3, Description=told(THIRD, FIRST)))

    assert third["fields"]["Description"] == THIRD
    assert "reread" not in third
    assert fourth["fields"]["Description"] == FIRST
    assert len(world.records.requests) == 1


@pytest.mark.parametrize(
    ("text", "modified"),
    [
        (None, "2025-01-01T00:00:09.000+0000"),
        ("", "2025-01-01T00:00:09.000+0000"),
        (5, "2025-01-01T00:00:09.000+0000"),
        (FIRST, "2025-01-01T00:00:06.000+0000"),
        (FIRST, "9999-12-31T23:59:59-23:59"),
        (FIRST, None),
    ],
)
async def test_record_that_can_not_serve_leaves_the_diff(text: Any, modified: Any) -> None:
    """Its text was cleared, is older than the event, or has no time; a later event tells more."""
    [data] = await org_with(text, modified).data(
        change(1, Description=told(FIRST, SECOND), LastModifiedDate=MODIFIED)
    )

    assert data["fields"]["Description"] == told(FIRST, SECOND)
    assert data["diff_fields"] == ["Description"]
    assert "reread" not in data


async def test_org_that_fails_leaves_the_diff() -> None:
    """The event stays as it came."""
    world = org_with(SECOND)
    world.records.error = RetryLater("busy")
    [data] = await world.data(change(1, Description=told(FIRST, SECOND)))

    assert data["diff_fields"] == ["Description"]


@pytest.mark.parametrize(
    "fields",
    [
        {"Description": {"diff": ""}},
        {"Description": {"diff": "no diff"}},
        {"BillingAddress": {"Street": {"diff": "@@"}}},
        {"BillingAddress": {"Street": {"diff": "@@"}}, "BillingAddress.Street": 5},
        {"BillingAddress": {"Street": {"diff": "@@"}}, "BillingAddress.Street": {"diff": "@@"}},
    ],
)
async def test_diff_that_can_not_be_read_stays(fields: dict[str, Any]) -> None:
    """Whatever it is, it costs nothing but itself."""
    [_, data] = await World().data(change(1, Description=FIRST), change(2, **fields))

    assert data["fields"] == fields


async def test_text_beyond_the_bound_is_not_kept() -> None:
    """A diff of it stays, and so does what is applied to an older text."""
    world = World()
    await world.data(change(1, Description=FIRST), change(2, Description="x" * (LONGEST_TEXT + 1)))

    assert world.texts.cache.size == 0
