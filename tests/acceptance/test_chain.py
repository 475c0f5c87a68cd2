"""A chain of subscribers takes each step once and in order, although its daemon is killed again and again.

`make test` kills the daemon five times, and `make chain` as often as `KILLS` says.
"""

import asyncio
import os
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from itertools import count, cycle, pairwise
from pathlib import Path
from typing import Any, Self

import pytest

from streamer.clock import SystemClock
from streamer.events import JsonObject
from streamer.sandbox import Sandbox
from streamer.sandbox.org.transaction import RecordOperation
from streamer.sandbox.targets import ErpReceiver
from streamer.sandbox.targets.journal import JournalEntry
from tests.acceptance.fire.fleet import Fleet, Member
from tests.acceptance.kept import Kept, KeptInKafka
from tests.acceptance.sales import CLIENT, KEY_FIELD, NUMBER_FIELD, Sales, Update, updates_of
from tests.acceptance.sent import Seen, by_key
from tests.configuration import sandbox_configuration, written
from tests.waiting import until

_KILLS = int(os.environ.get("CHAIN_KILLS", "5"))
_PER_SECOND = 4.0
_MOST_AHEAD = 50
_WRITE_BACK = "write-back"
# Each with those that must have delivered before.
_STEPS: Mapping[str, Sequence[str]] = {
    "invoice": (),
    "credit": (),
    "shipment": ("invoice", "credit"),
    _WRITE_BACK: ("shipment",),
    "notice": (_WRITE_BACK,),
}
# The loop guard keeps the daemon's own changes from these.
_BEHIND_THE_GUARD = (_WRITE_BACK, "notice")


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """Places of the first request that was accepted for each event, by step, in one count over all."""

    places: Mapping[str, dict[str, int]] = field(default_factory=lambda: {step: {} for step in _STEPS})
    _count: Iterator[int] = field(default_factory=count)

    @classmethod
    def watched(cls, target: ErpReceiver, sandbox: Sandbox) -> Self:
        """Return what `target` and, for the write-back, the org accept from now on."""
        taken = cls()
        target.journal.listen(taken._received)
        sandbox.org.listen(taken._changed)
        return taken

    def __len__(self) -> int:
        return sum(map(len, self.places.values()))

    def _received(self, received: JournalEntry) -> None:
        if received.accepted:
            self._take(received.path.split("/")[2], received.body["event"])

    def _changed(self, operations: Sequence[RecordOperation]) -> None:
        for operation in operations:
            if (key := operation.after.get(KEY_FIELD)) is not None:
                self._take(_WRITE_BACK, key.removesuffix(f":{_WRITE_BACK}"))

    def _take(self, step: str, event: str) -> None:
        self.places[step].setdefault(event, next(self._count))


@pytest.fixture
async def target() -> AsyncIterator[ErpReceiver]:
    """One system for all steps but the write-back."""
    async with ErpReceiver(SystemClock()) as receiver:
        receiver.faults.slow_s = 0.01
        yield receiver


@pytest.fixture
def taken(sandbox: Sandbox, target: ErpReceiver) -> Taken:
    """Events that the target and the org accept."""
    return Taken.watched(target, sandbox)


@pytest.fixture
def fleet(sandbox: Sandbox, kept: Kept, target: ErpReceiver, tmp_path: Path) -> Fleet:
    """Two processes where they can share a log."""
    subscribers = {name: _step(name, before, target) for name, before in _STEPS.items()}
    log, processes = kept.configuration, 1
    if isinstance(kept, KeptInKafka):
        # Ten consumers start again at once, which can take a second.
        log, processes = {"kafka": log["kafka"] | {"session_timeout_s": 3}}, 2
    settings = sandbox_configuration(sandbox.url, log=log, subscribers=subscribers)
    settings["org"]["client_name"] = CLIENT
    config = written(tmp_path, settings)
    return Fleet(members=[Member(number=number, config=config) for number in range(processes)])


def _step(name: str, before: Sequence[str], target: ErpReceiver) -> dict[str, Any]:
    # The daemon's own changes go through the chain as well, up to the write-back.
    updates = {"on": "salesforce.cdc.Opportunity.updated", "start": "earliest"}
    common = {
        **({"after": list(before)} if before else updates),
        "receipts": True,
        "max_in_flight": 8,
        "retry": {"first_delay_s": 0.1, "max_delay_s": 0.5},
    }
    if name == _WRITE_BACK:
        body = {"Id": "subject", NUMBER_FIELD: "receipts.invoice.number"}
        settings = {"update": "Opportunity", "id_field": KEY_FIELD}
        return common | {"uses": "salesforce", "body": body, "settings": settings}
    numbers = {each: f"receipts.{each}.number" for each in _all_before(name) - {_WRITE_BACK}}
    settings = {"url": f"{target.url}/api/{name}", "external_id": "id"}
    return common | {"uses": "erp", "body": {"event": "id", "numbers": numbers}, "settings": settings}


def _all_before(step: str) -> set[str]:
    return {each for last in _STEPS[step] for each in (last, *_all_before(last))}


@pytest.mark.timeout(2_400)
async def test_kills_leave_each_step_of_a_chain_once_and_in_turn(
    sandbox: Sandbox, kept: Kept, target: ErpReceiver, taken: Taken, fleet: Fleet
) -> None:
    """One receipt for each step, no step before those before it, and each record's events in order."""
    seed = time.time_ns() % 1_000_000
    print(f"seed {seed}")  # noqa: T201 - shown when the test fails
    dice = random.Random(seed)  # noqa: S311 - chance, no secret
    async with fleet:
        async with _selling(sandbox, taken):
            for _, member in zip(range(_KILLS), cycle(fleet.members), strict=False):
                target.faults.lose_answers = 2
                sandbox.faults.arm("lose_answer", {})
                await _took_some(taken, dice.randrange(60))
                await asyncio.sleep(dice.random() * 0.3)
                await member.kill()
                await member.start()
        # The assertions below name the missing events.
        with suppress(AssertionError):
            await until(lambda: _is_finished(kept, sandbox), every_s=0.3)
        await fleet.ready()
        await fleet.stop()

    updates, receipts = updates_of(sandbox), await kept.receipts()
    assert not _out_of_turn(taken)
    assert not _excess(receipts, updates)
    for step in _STEPS:
        due = _due(step, updates)
        assert _receipted(step, receipts) == Counter(event.id for event in due), step
        assert by_key(sorted(due, key=lambda event: taken.places[step][event.id])) == by_key(due)
    assert _numbers_sent(target) <= _numbers_given(receipts)
    _check_write_backs(sandbox, target, updates)
    assert not fleet.complaints


def _due(step: str, updates: Sequence[Update]) -> list[Update]:
    """Return the updates that the step must take."""
    return [update for update in updates if not (update.is_own and step in _BEHIND_THE_GUARD)]


def _receipted(step: str, receipts: Sequence[JsonObject]) -> Counter[str]:
    return Counter(receipt["event_id"] for receipt in receipts if receipt["subscriber"] == step)


def _excess(receipts: Sequence[JsonObject], updates: Sequence[Update]) -> dict[str, Counter[str]]:
    """Return receipts that there must not be: second ones, and those of a second round."""
    found = {
        step: _receipted(step, receipts) - Counter(event.id for event in _due(step, updates))
        for step in _STEPS
    }
    return {step: events for step, events in found.items() if events}


def _out_of_turn(taken: Taken) -> list[tuple[str, str]]:
    """Return each step, with its event, that was taken before one that comes before it."""
    return [
        (step, event)
        for step, before in _STEPS.items()
        for event, place in taken.places[step].items()
        if any(taken.places[each].get(event, place) >= place for each in before)
    ]


def _numbers_sent(target: ErpReceiver) -> set[tuple[str, str, str]]:
    """Return the numbers of earlier steps that requests hold, with the step and the event."""
    return {
        (step, received.body["event"], number)
        for received in target.journal
        for step, number in received.body["numbers"].items()
    }


def _numbers_given(receipts: Sequence[JsonObject]) -> set[tuple[str, str, str]]:
    return {
        (each["subscriber"], each["event_id"], each["answer"]["number"])
        for each in receipts
        if each["subscriber"] != _WRITE_BACK
    }


def _check_write_backs(sandbox: Sandbox, target: ErpReceiver, updates: Sequence[Update]) -> None:
    """Each update by people was written back, in order, and nothing else was.

    Each record holds the number of the invoice of its last one.
    """
    by_people = [update for update in updates if not update.is_own]
    due = by_key(Seen(update.key, f"{update.id}:{_WRITE_BACK}") for update in by_people)
    own = [update for update in updates if update.is_own]
    found = by_key(Seen(update.key, update.written) for update in own if update.written)
    assert set(found) == set(due)
    assert not [record for record in due if not _is_in_order(found[record], due[record])]
    print(f"{len(own) - len(by_people)} of {len(own)} write-backs were repetitions")  # noqa: T201 - shown too
    numbers = {update.key: target.documents["invoice", update.id]["number"] for update in by_people}
    assert {each: sandbox.org.retrieve("Opportunity", each)[NUMBER_FIELD] for each in numbers} == numbers


def _is_in_order(written: Sequence[str], due: Sequence[str]) -> bool:
    """Tell whether a record's write-backs are those that are due, each after the one before it.

    A killed process can leave several without a receipt. They come again, from the first of them on.
    """
    if set(written) != set(due):
        return False
    places = [due.index(key) for key in written]
    steps = [place - last for last, place in pairwise([-1, *places])]
    return max(steps) == 1 and places[-1] == len(due) - 1


@asynccontextmanager
async def _selling(sandbox: Sandbox, taken: Taken) -> AsyncIterator[None]:
    sales = Sales(sandbox=sandbox, dice=random.Random(20))  # noqa: S311 - chance, no secret

    def is_ahead() -> bool:
        return sales.changed > len(taken.places[_WRITE_BACK]) + _MOST_AHEAD

    task = asyncio.create_task(sales.go_on(per_second=_PER_SECOND, is_ahead=is_ahead), name="sales")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def _took_some(taken: Taken, more: int) -> None:
    enough = len(taken) + more

    async def are_taken() -> bool:
        return len(taken) >= enough

    await until(are_taken)


async def _is_finished(kept: Kept, sandbox: Sandbox) -> bool:
    """Tell whether each step has all its receipts, or any that it must not have."""
    receipts, updates = await kept.receipts(), updates_of(sandbox)
    due = [(step, event.id) for step in _STEPS for event in _due(step, updates)]
    return bool(_excess(receipts, updates)) or len(receipts) >= len(due)
