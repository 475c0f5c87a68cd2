"""An org is compared with the log."""

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import pytest

from streamer.clock import TurnedClock
from streamer.continuity.reconciling import Asked, DriftKind, Phase, Reconciled, Reconciliation
from streamer.continuity.reconciling import known_records as drift_module
from streamer.continuity.reconciling.org_records import OrgRecords
from streamer.errors import ConfigurationError, RecordsRefused, SalesforceUnavailable
from streamer.events import Channel, Event, JsonObject
from streamer.log.memory import MemoryHistory, MemoryLog
from streamer.normalise.malformed import as_event_time
from streamer.ports import Deletions
from streamer.salesforce.memory import MemoryQueries, MemoryRecords
from tests.contracts.values import CHANGES, ORG, Append, a_checkpoint, an_event, append_to
from tests.unit.normalise.describes import CONTACT

BEGAN = 1_735_689_600.0
HOUR_S = 3_600.0


def at(hours: float) -> str:
    """Return the time so many hours after the beginning, as events and records have it."""
    return as_event_time(datetime.fromtimestamp(BEGAN + hours * HOUR_S, UTC))


def id_of(number: int) -> str:
    """Return the id of a contact."""
    return f"003AB0000{number:07d}AA"


class Spans(dict[str, Callable[[JsonObject], bool]]):
    """Conditions of the twin: a span of a stamp."""

    def get(self, where: str, _default: Any = None) -> Callable[[JsonObject], bool]:
        """Return what `where` means."""
        found = re.fullmatch(r"(\w+) >= (\S+) AND \1 <= (\S+)", where)
        assert found is not None, where
        stamp, since, until = found.groups()
        return lambda record: since <= record[stamp] <= until


@dataclass
class World:
    """An org of contacts, the log of its channel, and a clock that stands 24 hours after the beginning."""

    clock: TurnedClock = field(default_factory=lambda: TurnedClock(BEGAN + 24 * HOUR_S))
    log: MemoryLog = field(default_factory=MemoryLog)
    records: MemoryRecords = field(
        default_factory=lambda: MemoryRecords({"Contact": {}}, {"Contact": CONTACT})
    )
    queries: MemoryQueries = field(init=False)
    observed: list[tuple[Phase, int, int]] = field(default_factory=list)
    bulk_from: int = 10_000

    def __post_init__(self) -> None:
        """Let both readers have the same records."""
        self.queries = MemoryQueries(self.clock, self.records.records)
        self.queries.conditions = Spans()

    def holds(self, number: int, hours: float, *, modified: float | None = None) -> None:
        """Let the org have changed a contact last at a time."""
        changed = at(hours) if modified is None else at(modified)
        record = {"Id": id_of(number), "SystemModstamp": at(hours), "LastModifiedDate": changed}
        self.records.records["Contact"][id_of(number)] = record

    def lost(self, number: int, hours: float) -> None:
        """Let the org have deleted a contact at a time."""
        self.holds(number, hours)
        self.queries.recycle("Contact", id_of(number))

    async def tells(
        self, number: int, hours: float, kind: str = "updated", channel: Channel = CHANGES, **fields: str
    ) -> None:
        """Let the log have an event of a contact."""
        data = {"entity": "Contact", "record_id": id_of(number), "fields": fields}
        event = an_event(
            f"{number} {hours} {kind}",
            what=f"salesforce.cdc.Contact.{kind}",
            key=id_of(number),
            time=at(hours),
            data=data,
        )
        await self.append(replace(event, channel=channel.path), channel=channel)

    async def append(self, *events: Event, verified: float = 24.0, channel: Channel = CHANGES) -> None:
        """Append events, with a checkpoint that says up to when the channel was read."""
        checkpoint = a_checkpoint(1, channel=channel)
        checkpoint = replace(checkpoint, verified_at=BEGAN + verified * HOUR_S)
        await append_to(self.log, Append(checkpoint=checkpoint, events=events))

    def reconciliation(self) -> Reconciliation:
        """Return the comparison of this org with this log."""
        records = OrgRecords(
            queries=self.queries,
            replication=self.queries,
            records=self.records,
            describer=self.records,
            clock=self.clock,
            bulk_from=self.bulk_from,
        )
        return Reconciliation(
            history=MemoryHistory(self.log),
            records=records,
            org=ORG,
            observe=lambda *what: self.observed.append(what),
        )

    async def compared(self, since: float = 10.0, **more: Any) -> Reconciled:
        """Compare from a time on."""
        asked = Asked(entity="Contact", since=BEGAN + since * HOUR_S)
        comparing = asyncio.create_task(self.reconciliation().compare(replace(asked, **more)))
        while not comparing.done():
            await self.clock.turn(5.0)
        return await comparing

    async def drift(self, **more: Any) -> list[tuple[DriftKind, str]]:
        """Return the kinds and the records of the differences."""
        return [(each.kind, each.record_id) for each in (await self.compared(**more)).drift]


@pytest.fixture
async def world() -> World:
    """A log that has read the channel up to now."""
    world = World()
    await world.append()
    return world


async def test_log_that_tells_everything_has_no_drift(world: World) -> None:
    """Whatever the kind of its last event."""
    for number, kind in enumerate(("created", "updated", "undeleted"), 1):
        world.holds(number, 12)
        await world.tells(number, 12, kind)
    world.lost(4, 13)
    await world.tells(4, 13, "deleted")
    found = await world.compared()
    assert not found.has_drift
    assert (found.records, found.deletions, found.notes) == (3, 1, ())


@pytest.mark.parametrize("bulk_from", [1, 10_000])
async def test_change_after_the_last_event_is_missing(world: World, bulk_from: int) -> None:
    """It is found for a record in the log, and for one that the log does not know."""
    world.bulk_from = bulk_from
    world.holds(1, 12)
    await world.tells(1, 11)
    world.holds(2, 13)
    found = await world.compared()
    assert [(each.record_id, each.changed_at, each.known_at) for each in found.drift] == [
        (id_of(1), BEGAN + 12 * HOUR_S, BEGAN + 11 * HOUR_S),
        (id_of(2), BEGAN + 13 * HOUR_S, None),
    ]
    assert found.counts == {DriftKind.MISSING: 2}
    assert not world.queries.jobs


async def test_event_is_of_the_commit_which_comes_later(world: World) -> None:
    """Beyond the window too."""
    world.holds(1, 12)
    await world.tells(1, 12.3)
    world.holds(2, 23.55)
    await world.tells(2, 23.8)
    assert await world.drift() == []


async def test_stamp_of_the_event_counts(world: World) -> None:
    """Where the clocks of Salesforce differ."""
    world.holds(1, 12)
    await world.tells(1, 11.999, LastModifiedDate=at(12))
    assert await world.drift() == []


async def test_gap_event_tells_nothing(world: World) -> None:
    """Only what was recovered after it does."""
    world.holds(1, 12)
    await world.tells(1, 12, "gap")
    assert await world.drift() == [(DriftKind.MISSING, id_of(1))]
    await world.tells(1, 12, "updated")
    assert await world.drift() == []


async def test_snapshot_is_as_old_as_the_clocks_can_differ(world: World) -> None:
    """It has the time of reading; the stamp among its fields is Salesforce's."""
    world.holds(1, 12)
    await world.tells(1, 12.005, "snapshot")
    assert await world.drift() == [(DriftKind.MISSING, id_of(1))]
    await world.tells(1, 12.006, "snapshot", LastModifiedDate=at(12))
    assert await world.drift() == []


async def test_deletion_without_an_event_is_missing(world: World) -> None:
    """It is missing even if the log does not know the record."""
    world.lost(1, 12)
    await world.tells(1, 11)
    world.lost(2, 13)
    assert await world.drift() == [(DriftKind.DELETION, id_of(1)), (DriftKind.DELETION, id_of(2))]


async def test_restored_record_without_an_event_is_missing(world: World) -> None:
    """The log says that it was deleted, whatever its stamp."""
    world.holds(1, 13, modified=11)
    await world.tells(1, 12, "deleted")
    world.holds(2, 9)
    await world.tells(2, 12, "deleted")
    found = await world.compared()
    assert [(each.kind, each.record_id, each.detail) for each in found.drift] == [
        (DriftKind.MISSING, id_of(1), "the record's last event in the log is a deletion"),
        (DriftKind.MISSING, id_of(2), "the record's last event in the log is a deletion"),
    ]


async def test_record_that_the_org_does_not_have_is_absent(world: World) -> None:
    """And one that it has, or has deleted since, is not."""
    await world.tells(1, 12)
    await world.tells(2, 12)
    world.holds(2, 9.9)
    await world.tells(3, 12)
    world.lost(3, 23.99)
    assert await world.drift() == [(DriftKind.ABSENT, id_of(1))]


async def test_last_minute_is_asked_for_once_the_org_covers_it(world: World) -> None:
    """The end of what it covers moves with each question."""
    await world.tells(1, 12)
    world.queries.requests.clear()
    assert await world.drift() == [(DriftKind.ABSENT, id_of(1))]
    assert world.queries.requests.count("deleted") == 2


async def test_what_can_be_under_way_is_not_reported(world: World) -> None:
    """Neither of the last 25 minutes, nor of what was restored in them."""
    world.holds(1, 23.6)
    world.lost(2, 23.6)
    world.holds(3, 23.9)
    await world.tells(3, 12, "deleted")
    found = await world.compared(until=BEGAN + 23.99 * HOUR_S)
    assert not found.has_drift
    assert found.until == BEGAN + 24 * HOUR_S - 1_500
    assert "can still arrive" in found.notes[0]


async def test_what_the_daemon_has_not_read_is_not_reported(world: World) -> None:
    """It ends where the channel's checkpoint says, and that is told."""
    await world.append(verified=20.0)
    world.holds(1, 19)
    world.holds(2, 19.8)
    found = await world.compared()
    assert [each.record_id for each in found.drift] == [id_of(1)]
    assert found.notes == (
        "the daemon has read the channel only up to 2025-01-01T20:00:00.000Z: check that the daemon runs",
    )


async def test_changes_outside_the_window_are_not_compared(world: World) -> None:
    """Before it, and after it."""
    world.holds(1, 9)
    world.holds(2, 15)
    world.lost(3, 9)
    world.lost(4, 15)
    await world.tells(5, 9)
    await world.tells(6, 15)
    assert await world.drift(until=BEGAN + 14 * HOUR_S) == []


async def test_change_of_the_system_is_told_as_such(world: World) -> None:
    """Its stamp is newer, and its LastModifiedDate is not."""
    world.holds(1, 13, modified=12)
    await world.tells(1, 12)
    world.holds(2, 13, modified=12)
    found = await world.compared()
    assert [each.detail for each in found.drift] == [
        "only the system changed the record: LastModifiedDate is not newer",
        "",
    ]


async def test_events_of_one_channel_can_be_asked_for(world: World) -> None:
    """Of others, the latest counts, in whatever order they came."""
    other = Channel(org=ORG, path="/data/ContactChangeEvent")
    world.holds(1, 12)
    await world.tells(1, 12, channel=other)
    await world.tells(1, 11)
    assert await world.drift() == []
    assert await world.drift(channel=CHANGES.path) == [(DriftKind.MISSING, id_of(1))]


async def test_channel_that_the_log_does_not_know_is_refused(world: World) -> None:
    """The error names those that it knows."""
    with pytest.raises(
        ConfigurationError, match=r"no channel /data/X__chn .* channels of the org: /data/ChangeEvents"
    ):
        await world.compared(channel="/data/X__chn")


async def test_window_without_an_end_to_compare_is_refused(world: World) -> None:
    """Everything in it can be under way."""
    with pytest.raises(ConfigurationError, match="choose an earlier --since"):
        await world.compared(since=23.7)


async def test_entity_that_the_org_does_not_have_is_refused(world: World) -> None:
    """By Salesforce's own answer."""
    with pytest.raises(RecordsRefused, match="does not exist"):
        await world.compared(entity="Nothing")


async def test_org_that_is_away_is_asked_again(world: World) -> None:
    """A few times, and then the command fails."""
    answers = [SalesforceUnavailable("away"), SalesforceUnavailable("away")]
    count = world.queries.count

    async def counted(query: Any) -> int:
        if answers:
            raise answers.pop()
        world.clock.jump(0)
        return await count(query)

    async def asleep(seconds: float) -> None:
        world.clock.jump(seconds)

    world.queries.count = counted  # type: ignore[method-assign] # the twin has no fault that passes
    world.clock.sleep = asleep  # type: ignore[method-assign] # nothing turns the clock meanwhile
    assert await world.drift() == []
    world.queries.error = SalesforceUnavailable("away")
    with pytest.raises(SalesforceUnavailable):
        await world.compared()


async def test_deletions_of_which_the_org_no_longer_tells_are_noted(world: World) -> None:
    """Nothing is said of them."""
    deleted = world.queries.deleted

    async def since_noon(entity: str, start: float, end: float) -> Deletions:
        return replace(await deleted(entity, start, end), since=BEGAN + 12 * HOUR_S)

    world.queries.deleted = since_noon  # type: ignore[method-assign] # the twin tells of all
    found = await world.compared()
    assert found.notes == (
        (
            "the org no longer reports deletions before 2025-01-01T12:00:00.000Z, so earlier "
            "deletions are not compared"
        ),
    )


async def test_many_differences_are_counted(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first of them are told."""
    monkeypatch.setattr(drift_module, "MOST_TOLD", 2)
    for number in range(5):
        world.holds(number, 12)
    found = await world.compared()
    assert (len(found.drift), found.counts) == (2, {DriftKind.MISSING: 5})


async def test_progress_is_observed(world: World) -> None:
    """Of the log, and of the org."""
    for number in range(3):
        world.holds(number, 12)
        await world.tells(number, 12)
    await world.compared()
    assert world.observed == [(Phase.LOG, 0, 0), (Phase.ORG, 3, 3)]
