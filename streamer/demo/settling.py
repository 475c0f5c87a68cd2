"""End of the demo: waits while events make progress, and then reads the log."""

from collections import Counter
from collections.abc import Callable, Hashable
from dataclasses import dataclass

from streamer.app.assembly import open_history
from streamer.clock import Clock
from streamer.demo.report import FlowState
from streamer.demo.scenario import BEFORE
from streamer.demo.world import CHANNEL, World
from streamer.events import EventId
from streamer.ports import MOST_FOUND, MOST_SCANNED, EventHistory, EventSearch

_LOOK_S = 0.05
# Longer than the delays of retries and the time-outs in the demo.
_STANDSTILL_S = 60.0
_REPLAY_ID_BYTES = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Quiescence:
    """Waits until all events are settled, or `progress` has returned the same value for 60 seconds.

    The wait counts calls of `progress` and not seconds. So the time while the machine
    is suspended does not count.
    """

    progress: Callable[[], Hashable]
    clock: Clock

    async def reached(self, is_settled: Callable[[], bool]) -> None:
        """Return as soon as `is_settled` returns true, or `progress` stands still."""
        seen, quiet = self.progress(), 0
        while not is_settled() and quiet * _LOOK_S < _STANDSTILL_S:
            await self.clock.sleep(_LOOK_S)
            now = self.progress()
            quiet = 0 if now != seen else quiet + 1
            seen = now


async def settle(world: World, clock: Clock) -> None:
    """Wait while events make progress, and then set the evidence from the log."""
    if not world.is_settled:
        world.timeline.add(f"the org wins no more deals; still due: {world.accounts.report().due}")
    await Quiescence(progress=lambda: world.progress, clock=clock).reached(lambda: world.is_settled)
    world.accounts.evidence = await evidence_of(world, clock)


async def evidence_of(world: World, clock: Clock) -> FlowState:
    """Return the log's events, and the events that the daemon has not read or delivered yet."""
    async with open_history(world.daemon.in_effect.settings.log, clock) as history:
        unread = await _unread(world, history)
        # The events are read after the position, so the log already holds all events before the
        # position.
        logged = await _logged(history)
    statuses = {name: world.daemon.dispatching.dispatchers[name].status for name in BEFORE}
    return FlowState(
        logged=logged,
        unread=unread,
        pending={name: each.lag + each.parked + each.in_flight for name, each in statuses.items()},
    )


async def _unread(world: World, history: EventHistory) -> int:
    """Return the number of the org's messages after the channel's position in the log."""
    checkpoints = [each for each in await history.checkpoints() if each.channel.path == CHANNEL]
    # The demo's messages are not split, so an open replay id has only one event.
    replay_id = next((each.open_replay_id or each.replay_id for each in checkpoints), None)
    if replay_id is None:
        return world.sandbox.org.published
    read = int.from_bytes(replay_id[:_REPLAY_ID_BYTES], "big")
    return len(world.sandbox.bus.after(CHANNEL, read))


async def _logged(history: EventHistory) -> Counter[EventId]:
    found = Counter[EventId]()
    cursor = ""
    while True:
        asked = EventSearch(
            channel=CHANNEL, oldest_first=True, limit=MOST_FOUND, scan=MOST_SCANNED, cursor=cursor
        )
        page = await history.find(asked)
        found.update(each.event.id for each in page.events)
        cursor = page.cursor
        if page.is_whole or not cursor:
            return found
