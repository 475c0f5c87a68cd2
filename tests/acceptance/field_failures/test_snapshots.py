"""Changes during a snapshot."""

from functools import partial

import pytest

from streamer.app.ingest import ingesting
from streamer.app.ingest.repairing import Repairing
from streamer.continuity.entity_reader import ReadingSizes
from streamer.events import HoleCause, Repair
from tests.acceptance.field_failures.world import World
from tests.acceptance.replica.replica import difference, replica_of, state_of
from tests.configuration import CHANGES


def _rows(world: World) -> list[str]:
    """Return the records of the snapshot's events that the consumer has read."""
    return [event.key for event in world.events if event.type.endswith(".snapshot")]


@pytest.mark.parametrize("bulk_from", [5, 1_000])
async def test_snapshot_that_loses_the_changes_made_meanwhile(
    world: World, monkeypatch: pytest.MonkeyPatch, bulk_from: int
) -> None:
    """Records are changed, deleted, restored and created beside its pages, and the log leads to the org's."""
    monkeypatch.setattr(
        ingesting, "Repairing", partial(Repairing, sizes=ReadingSizes(bulk_from=bulk_from, page_rows=3))
    )
    world.more = {"channels": [{"path": CHANGES, "start": "latest"}]}
    accounts = [world.save(Name=f"No {number}", Phone="0") for number in range(30)]
    async with world.running():
        await world.until(lambda: world.readiness()[0])
        await world.snapshot("Account")
        for number in range(10):
            world.change(accounts[3 * number], Phone=str(number))
            world.delete(accounts[3 * number + 1])
            if number % 2:
                world.restore(accounts[3 * number + 1])
            world.save(Name=f"New {number}")
            seen = len(world.events)
            await world.until(lambda: len(world.events) > seen)  # noqa: B023 - awaited at once
        await world.until(
            lambda: not difference(replica_of(world.events), state_of(world.sandbox)), turning=5
        )
        await world.settled()
        [record] = await world.repaired()
        # The consumer can be behind the log.
        await world.until(lambda: len(_rows(world)) >= record.published)

    assert difference(replica_of(world.events), state_of(world.sandbox)) == ""
    assert (record.cause, record.state) == (HoleCause.SNAPSHOT, Repair.FULL)
    rows = _rows(world)
    assert len(rows) == len(set(rows)) == record.published
    assert set(rows) & set(accounts)
