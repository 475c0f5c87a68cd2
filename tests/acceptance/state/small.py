"""Small histories of one or two records."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from streamer.controls import ChannelPosition, SnapshotOrder, Wanted
from streamer.settings import Transport
from tests.acceptance.replica.world import Unsettled
from tests.acceptance.state.faults import KeeperLog
from tests.acceptance.state.state_world import StateWorld, unkept_org

_LINES = 60


@asynccontextmanager
async def kept_org(log_type: type[KeeperLog] = KeeperLog) -> AsyncIterator[StateWorld]:
    """Serve an org whose daemon and keeper run."""
    async with unkept_org(Transport.COMETD, ("Account", "Contact")) as states:
        states.keepers.log_type = log_type
        states.world.start()
        states.keepers.start()
        await states.world.until_read()
        yield states


async def found_in(states: StateWorld) -> dict[str, str]:
    """Return what is wrong at once, and when everything has ended and an hour has passed."""
    found = states.complaints(is_settled=False)
    try:
        await states.until_quiet()
    except Unsettled as error:
        found["unsettled"] = str(error)
    return found | states.complaints(is_settled=True)


def created(states: StateWorld, entity: str = "Account", /, **fields: Any) -> str:
    """Create a record."""
    name = "Name" if entity == "Account" else "LastName"
    with states.world.sandbox.org.transaction() as transaction:
        return transaction.create(entity, {name: "A", **fields})


def update(states: StateWorld, record_id: str, **fields: Any) -> None:
    """Update an account."""
    with states.world.sandbox.org.transaction() as transaction:
        transaction.update("Account", record_id, fields)


def delete(states: StateWorld, record_id: str) -> None:
    """Delete an account."""
    with states.world.sandbox.org.transaction() as transaction:
        transaction.delete("Account", record_id)


def undelete(states: StateWorld, record_id: str) -> None:
    """Take the deletion of an account back."""
    with states.world.sandbox.org.transaction() as transaction:
        transaction.undelete("Account", record_id)


def text(*changed: int) -> str:
    """Return a long text with some changed lines."""
    return "\n".join(f"{'another' if n in changed else 'a'} line {n} of a long text" for n in range(_LINES))


def gap(states: StateWorld, times: int = 1) -> None:
    """Let the org announce the next changes without their contents."""
    states.world.sandbox.faults.gap_changes(times=times)


def slow(states: StateWorld) -> None:
    """Let the org answer late."""
    states.world.network.answer_s, states.world.network.row_s = 12.0, 3.0


def refuse(states: StateWorld) -> None:
    """Let the org refuse all reading until it is healed."""
    states.world.sandbox.faults.refuse_call(code="INSUFFICIENT_ACCESS", status=403, on=("read",), times=None)


async def restart_daemon(states: StateWorld) -> None:
    """Start the daemon again, with other settings."""
    await states.world.kill()
    await states.keepers.kill_all()
    states.world.start()
    states.keepers.start()


async def repeat_all(states: StateWorld) -> None:
    """Let the log repeat all events that the org retains."""
    await states.settle()
    await states.world.order_position(ChannelPosition.EARLIEST, repeat=True)
    await states.settle()


def open_orders(states: StateWorld) -> list[SnapshotOrder]:
    """Return the orders of snapshots that have not ended."""
    return list(states.world.log.controls._board.snapshots.values())


CANCELLED = Wanted.CANCELLED
