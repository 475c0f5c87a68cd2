"""The requests that a receiver records."""

import asyncio

from streamer.sandbox.targets import Journal, JournalEntry
from tests.waiting import awaited


def received(key: str, *, accepted: bool = True) -> JournalEntry:
    """Return a request with `key`."""
    status = 200 if accepted else 503
    return JournalEntry(at=0.0, key=key, method="POST", path="/", body={}, status=status, accepted=accepted)


def test_journal_counts_duplicates_of_what_was_accepted() -> None:
    """An earlier failed attempt does not count as a duplicate."""
    journal = Journal()
    for record in (received("a", accepted=False), received("a"), received("b"), received("b"), received("b")):
        journal.add(record)

    assert journal.accepted == {"a": 1, "b": 3}
    assert journal.duplicates == {"b": 2}


def test_journal_is_bounded_but_counts_on() -> None:
    """Old requests are forgotten, their keys are not."""
    journal = Journal(limit=2)
    for key in "abc":
        journal.add(received(key))

    assert [record.key for record in journal] == ["b", "c"]
    assert journal.accepted == {"a": 1, "b": 1, "c": 1}


async def test_journal_tells_when_enough_has_come() -> None:
    """The second request wakes a task that waits for two."""
    journal = Journal()
    waiter = asyncio.create_task(journal.reached(2))
    journal.add(received("a"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not waiter.done()

    journal.add(received("b"))
    await awaited(waiter)
