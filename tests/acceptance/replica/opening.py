"""Beginning of a random history: the org before the first reading, and the wait for the first event."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from streamer.events import Start
from streamer.ingest.positions.checkpoints import ChannelStart, Since
from tests.acceptance.replica.changes import Changes
from tests.acceptance.replica.world import World

_HOUR_S = 3600.0
_BEFORE_S = (0.0, 600.0, 10 * _HOUR_S, 80 * _HOUR_S)
_AWAY_S = (600.0, 5 * _HOUR_S, 30 * _HOUR_S, 100 * _HOUR_S)
# Each hour of a daemon that runs costs 35 requests.
_QUIET_S = (*[600.0] * 3, *[5 * _HOUR_S] * 5, 20 * _HOUR_S, 80 * _HOUR_S)
_SINCE_S = (10.0, 10 * _HOUR_S, 71 * _HOUR_S, 90 * _HOUR_S)
_CLOCKS_S = (0.0, 5.0, 50.0)
_FAR_S = (120.0, 300.0)
_FAR = 0.1
_DOWN = 0.6
_PERIODS_S = (1800.0, 20_000.0, 400_000.0)

FEATURES = ("before", "starts", "waits", "clock", "far")
"""Parts of an opening that can be left out."""


@dataclass(kw_only=True)
class Opening:
    """Opening of the history of one seed, without the parts that are not `allowed`."""

    world: World
    seed: int
    allowed: frozenset[str]
    told: list[str] = field(default_factory=list)

    async def play(self) -> None:
        """Bring the world to its first checkpoint, and to the day of its first event."""
        self._set_clock()
        await self._before()
        self.world.start_at = self._start()
        self.told.append(f"start: {self.world.start_at}, over {self.world.transport}")
        await self._first_reading()
        if "waits" in self.allowed:
            await self._wait()

    def _set_clock(self) -> None:
        draw = self._draw("clock")
        most = draw.choice(_CLOCKS_S) * draw.choice((1, -1)) if "clock" in self.allowed else 0.0
        if "far" in self.allowed and draw.random() < _FAR:
            most = draw.choice(_FAR_S) * draw.choice((1, -1))
        period = draw.choice(_PERIODS_S if abs(most) < min(_FAR_S) else _PERIODS_S[1:])
        self.world.org_clock.most_s, self.world.org_clock.period_s = most, period
        self.told.append(f"the org's clock is up to {most:.0f} s ahead, with a period of {period:.0f} s")

    async def _before(self) -> None:
        draw = self._draw("before")
        if "before" not in self.allowed:
            return
        changes = Changes(world=self.world, draw=draw)
        self.told += [changes.create() for _ in range(draw.randint(0, 3))]
        self.told += [changes.any() for _ in range(draw.randint(0, 4))]
        seconds = draw.choice(_BEFORE_S)
        await self.world.turn(seconds)
        self.told.append(f"{seconds:.0f} s passed before it was read")
        self.told += [changes.any() for _ in range(draw.randint(0, 2))]
        # An event committed in the same second as the start can lie on either side of it.
        await self.world.turn(2.0)

    def _start(self) -> ChannelStart:
        draw = self._draw("starts")
        since = Since(at=self.world.clock.now() - draw.choice(_SINCE_S))
        starts: Sequence[ChannelStart] = (Start.EARLIEST, Start.LATEST, since, "snapshot")
        return draw.choice(starts) if "starts" in self.allowed else Start.EARLIEST

    async def _first_reading(self) -> None:
        draw = self._draw("first")
        self.world.start()
        for _ in range(draw.choice((0, 0, 1, 3)) if "starts" in self.allowed else 0):
            for _ in range(draw.randint(0, 8)):
                await self.world.turn(0.2)
            await self.world.kill()
            self.world.start()
            self.told.append("killed and started")
        await self.world.until_read()

    async def _wait(self) -> None:
        draw = self._draw("waits")
        for _ in range(draw.choice((0, 1, 1, 2))):
            is_down = draw.random() < _DOWN
            seconds = draw.choice(_AWAY_S if is_down else _QUIET_S)
            if is_down:
                for _ in range(draw.randint(0, 20)):
                    await self.world.turn(draw.choice((0.1, 1.0)))
                await self.world.kill()
                # Its first events can be among those that are forgotten.
                changes = Changes(world=self.world, draw=draw)
                for _ in range(draw.randint(0, 4)):
                    await self.world.turn(seconds / 5)
                    self.told.append(changes.any())
                await self.world.turn(seconds / 5)
                self.world.start()
            else:
                await self.world.wait(seconds)
            self.told.append(f"{'away' if is_down else 'quiet'} for {seconds:.0f} s")

    def _draw(self, part: str) -> random.Random:
        return random.Random(f"{self.seed}:{part}")  # noqa: S311 - a history, no secret
