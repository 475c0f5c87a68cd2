"""Moves of a random history: what happens to an org, to the daemon that reads it, and between them."""

import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import ClassVar

from streamer.controls import ChannelPosition
from streamer.settings import Transport
from tests.acceptance.replica.changes import Changes
from tests.acceptance.replica.world import World

_HOUR_S = 3600.0
_DAY_S = 24 * _HOUR_S
_AWAY_S = (10.0, 600.0, 10 * _HOUR_S, 80 * _HOUR_S)
_LONG_S = (_DAY_S, 5 * _DAY_S, 16 * _DAY_S, 31 * _DAY_S)
_SLOW_ROW_S = (0.0, 2.0, 8.0)
_SLOW_ANSWER_S = (0.0, 1.5, 3.0, 12.0)

WEIGHTS: Mapping[str, int] = {
    "change": 10,
    "gap": 4,
    "overflow": 1,
    "deletions": 2,
    "convert": 1,
    "snapshot": 2,
    "life": 2,
    "position": 2,
    "skip": 1,
    "pass": 2,
    "quiet": 1,
    "kill": 3,
    "away": 2,
    "long": 1,
    "reset": 1,
    "slow": 2,
    "broken": 2,
    "lost": 2,
    "transport": 1,
    "quota": 1,
}
"""Moves by their names, and how often each is drawn."""


@dataclass(kw_only=True)
class History:
    """History of one seed; the moves that are not in `allowed` are drawn and left out."""

    weights: ClassVar[Mapping[str, int]] = WEIGHTS

    world: World
    seed: int
    allowed: frozenset[str]
    moves: list[str] = field(default_factory=list)
    draw: random.Random = field(init=False)
    changes: Changes = field(init=False)
    _number: int = 0

    def __post_init__(self) -> None:
        self._begin("")

    async def move(self) -> None:
        """Make one move."""
        self._number += 1
        self._begin(str(self._number))
        [name] = self.draw.choices(tuple(self.weights), weights=tuple(self.weights.values()))
        if name not in self.allowed:
            self.moves.append(f"left out: {name}")
            return
        at = self.world.clock.now()
        # A move that fails is shown too.
        self.moves.append(f"{name} at {at:.0f}: …")
        choice: Callable[[], Awaitable[str]] = getattr(self, f"_{name}")
        self.moves[-1] = f"{name} at {at:.0f}: {await choice()}"

    def _begin(self, part: str) -> None:
        # Each move has random numbers of its own: one that is left out changes no other.
        self.draw = random.Random(f"{self.seed}:{part}")  # noqa: S311 - a history, no secret
        self.changes = Changes(world=self.world, draw=self.draw)

    async def _change(self) -> str:
        return self.changes.any()

    async def _gap(self) -> str:
        return self.changes.gap()

    async def _overflow(self) -> str:
        return self.changes.overflow(deletions=False)

    async def _deletions(self) -> str:
        told = []
        for _ in range(self.draw.randint(1, 3)):
            told.append(self.changes.overflow(deletions=True))
            if self.draw.random() < 0.5:
                told.append(self.changes.delete())
            await self.world.turn(self.draw.choice((0.5, 20.0, 90.0)))
        return f"{told}"

    async def _convert(self) -> str:
        # Its records keep their stamps, so no query would find them if the stream lost this event.
        await self.world.settle()
        self.world.sandbox.org.convert_field("Account", "Note__c", "string")
        self.world.journal.note()
        await self.world.settle()
        return "Account.Note__c converted"

    async def _snapshot(self) -> str:
        entity = self.changes.entity()
        await self.world.order(entity)
        return f"a snapshot of {entity} was ordered"

    async def _life(self) -> str:
        """Snapshot through changes, kills and absences at any moment."""
        told = [await self._snapshot()]
        for _ in range(self.draw.randint(1, 3)):
            for _ in range(self.draw.randint(0, 15)):
                await self.world.turn(self.draw.choice((0.1, 1.0, 3.0)))
                if self.draw.random() < 0.2:
                    told.append(self.changes.any())
            told.append(await self._away())
        return f"{told}"

    async def _position(self) -> str:
        place = self.draw.choice((ChannelPosition.EARLIEST, ChannelPosition.SINCE, ChannelPosition.START))
        since = self.world.clock.now() - self.draw.choice(_AWAY_S) if place is ChannelPosition.SINCE else None
        repeat = self.draw.random() < 0.5
        if repeat:
            # Only a repetition of all that followed ends at the same state.
            await self.world.settle()
        await self.world.order_position(place, since=since, repeat=repeat)
        return f"reading was ordered to continue at {place} {since}, with a repetition: {repeat}"

    async def _skip(self) -> str:
        """Order a position from which on events can be left out, between changes."""
        told = [self.changes.any() for _ in range(self.draw.randint(0, 2))]
        ids = [each.replay_id for each in self.world.log.events if self._is_of_transport(each.replay_id)]
        if ids and self.draw.random() < 0.5:
            replay_id = self.draw.choice(ids[-10:])
            await self.world.order_position(ChannelPosition.REPLAY_ID, replay_id=replay_id)
            place = f"behind {replay_id!r}"
        else:
            await self.world.order_position(ChannelPosition.LATEST)
            place = "with new events"
        told += [self.changes.any() for _ in range(self.draw.randint(0, 2))]
        return f"reading was ordered to go on {place}, between {told}"

    async def _pass(self) -> str:
        seconds = self.draw.uniform(1, 300)
        await self.world.turn(seconds)
        return f"{seconds:.0f} s passed"

    async def _quiet(self) -> str:
        seconds = self.draw.choice((_HOUR_S, _HOUR_S, _HOUR_S, 10 * _HOUR_S))
        await self.world.wait(seconds)
        return f"nothing happened for {seconds:.0f} s"

    async def _kill(self) -> str:
        # Somewhere in the middle of what it does.
        for _ in range(self.draw.randint(0, 10)):
            await self.world.turn(0.1)
        await self.world.kill()
        self.world.start()
        return "killed and started"

    async def _away(self, lengths: tuple[float, ...] = _AWAY_S) -> str:
        await self.world.kill()
        seconds = self.draw.choice(lengths)
        told = []
        for _ in range(self.draw.randint(0, 4)):
            await self.world.turn(seconds / 5)
            told.append(self.changes.any())
        await self.world.turn(seconds / 5)
        self.world.start()
        return f"away for {seconds:.0f} s: {told}"

    async def _long(self) -> str:
        return await self._away(_LONG_S)

    async def _reset(self) -> str:
        # A channel without any event has no position by which a reset shows.
        self.changes.create()
        await self.world.settle()
        told = [self.changes.any() for _ in range(self.draw.randint(0, 2))]
        # It ends all sessions: the org has moved.
        await self.world.kill()
        self.world.sandbox.faults.reset_stream()
        self.world.start()
        return f"the stream was reset, after {told}"

    async def _slow(self) -> str:
        network = self.world.network
        network.row_s = self.draw.choice(_SLOW_ROW_S)
        network.answer_s = self.draw.choice(_SLOW_ANSWER_S)
        return f"a row takes {network.row_s} s from now on, and any other answer {network.answer_s} s"

    async def _broken(self) -> str:
        faults, times = self.world.sandbox.faults, self.draw.randint(1, 3)
        arm: Mapping[str, Callable[[], None]] = {
            "answers lost": partial(setattr, self.world.network, "lost_answers", times),
            "jobs that fail": partial(faults.fail_query_job, times=times),
            "results cut": partial(faults.cut_results, after_bytes=self.draw.randint(0, 900), times=times),
            "reads refused": partial(
                faults.refuse_call, code="UNKNOWN_EXCEPTION", status=500, on=("read",), times=times
            ),
            "writes refused": partial(faults.refuse_call, on=("write",), times=times),
        }
        name = self.draw.choice(tuple(arm))
        arm[name]()
        return f"{name}: {times}"

    async def _lost(self) -> str:
        """Snapshot of many records whose job, or the locator of whose results, is lost on the way."""
        told = [self.changes.overflow(deletions=False), await self._snapshot()]
        name = self.draw.choice(("lost_jobs", "lost_locators"))
        for _ in range(self.draw.randint(0, 25)):
            await self.world.turn(0.7)
        setattr(self.world.network, name, self.draw.randint(1, 2))
        for _ in range(self.draw.randint(0, 10)):
            await self.world.turn(0.7)
        return f"{told}, {name}"

    async def _transport(self) -> str:
        await self.world.kill()
        other = Transport.PUBSUB if self.world.transport is Transport.COMETD else Transport.COMETD
        self.world.transport = other
        told = [self.changes.any() for _ in range(self.draw.randint(0, 2))]
        self.world.start()
        return f"{other} from now on, after {told}"

    async def _quota(self) -> str:
        """Leave few requests, or jobs, until the next settlement."""
        if self.draw.random() < 0.5:
            share = self.draw.choice((0.7, 0.85, 1.0))
            self.world.sandbox.faults.use_up_requests(share=share)
            return f"{share:.0%} of the day's requests are used"
        jobs = self.world.sandbox.org.usage.bulk_query_jobs
        jobs.most = max(20, jobs.used + 2)
        jobs.use(max(0, jobs.most - jobs.used - 2))
        self.world.network.jobs_used_at = self.world.clock.now()
        return f"{jobs.remaining} of {jobs.most} query jobs are left"

    def _is_of_transport(self, replay_id: bytes) -> bool:
        # A read before the first event has no position.
        return bool(replay_id) and replay_id.isdigit() is (self.world.transport is Transport.COMETD)
