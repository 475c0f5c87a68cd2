"""What the local receivers remember."""

import asyncio

import orjson

from streamer.sandbox.targets import Journal, Received
from streamer.sandbox.targets.idempotency import Replays


def received(key: str, *, accepted: bool = True) -> Received:
    """Return a request with `key`."""
    status = 200 if accepted else 503
    return Received(at=0.0, key=key, method="POST", path="/", body={}, status=status, accepted=accepted)


def test_journal_counts_duplicates_of_what_was_accepted() -> None:
    """An attempt that failed before is no duplicate."""
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
    """Who waits for two requests is woken by the second."""
    journal = Journal()
    waiter = asyncio.create_task(journal.reached(2))
    journal.add(received("a"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not waiter.done()

    journal.add(received("b"))
    await asyncio.wait_for(waiter, 1)


def test_key_is_acted_on_once() -> None:
    """A repeated key gets the first answer; with another request it is refused."""
    replays = Replays()
    numbers = iter(range(1, 9))

    answers = [
        replays.once(key, {"amount": amount}, lambda: (201, {"number": next(numbers)}))
        for key, amount in (("a", 1), ("a", 1), ("a", 2), ("b", 1), (None, 1))
    ]

    assert [answer.status for answer in answers] == [201, 201, 422, 201, 400]
    assert [orjson.loads(answer.body).get("number") for answer in answers] == [1, 1, None, 2, None]  # type: ignore[arg-type] # bodies of these answers are bytes


def test_keys_are_forgotten_in_their_order() -> None:
    """The memory of keys is bounded."""
    replays = Replays(limit=2)
    for key in "abc":
        replays.once(key, {}, lambda: (200, {}))

    assert replays.once("a", {}, lambda: (201, {})).status == 201
    assert replays.once("c", {}, lambda: (201, {})).status == 200
