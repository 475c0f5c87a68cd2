"""Live display of the demo on a terminal."""

from collections import deque
from collections.abc import Sequence
from statistics import median

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from streamer.demo.deals import Deal
from streamer.demo.drawing.frame import drawn, final
from streamer.demo.drawing.glyphs import Glyphs
from streamer.demo.drawing.picture import DemoPicture, Station, StationState, counted, narration
from streamer.demo.scenario import BEFORE, INVOICE, SALES_CHANNEL, SHIPMENT, TITLES, WRITE_BACK
from streamer.demo.world import World
from streamer.events import SubscriberName

_HISTORY = 48
_KEPT_S = 300
_NOUNS = {
    INVOICE: "invoice",
    SHIPMENT: "shipment",
    WRITE_BACK: "opportunity",
    SALES_CHANNEL: "message",
}
# A bar of fewer deals would jump with each deal.
_LEAST_FULL = 20


class Screen:
    """Shows the chain with its counts and deals, the narration and the timeline.

    The display fills a terminal of any size. The demo runs for `for_s` seconds, or
    until it is interrupted. Once it `is_over`, it only waits for late deliveries.
    `pictures` has one picture for each second of the first five minutes.
    """

    def __init__(self, world: World, *, for_s: float | None, glyphs: Glyphs) -> None:
        self._world = world
        self._for_s = for_s
        self._glyphs = glyphs
        self.is_over = False
        self.pictures: list[DemoPicture] = []
        self._last = (0.0, 0)
        self._rates: deque[float] = deque(maxlen=_HISTORY)

    def tick(self) -> None:
        """Take in what has happened since the last tick."""
        self._world.observe()
        now, appended = self._world.timeline.elapsed_s, len(self._world.accounts.tally.appended_ids)
        then, before = self._last
        if now > then:
            self._rates.append((appended - before) / (now - then))
        self._last = (now, appended)
        if len(self.pictures) <= now < _KEPT_S:
            self.pictures.append(self.picture)

    @property
    def picture(self) -> DemoPicture:
        """Picture of this moment."""
        elapsed_s = self._world.timeline.elapsed_s
        due = self._world.accounts.report().due if self.is_over else None
        return DemoPicture(
            stations=_stations(self._world, tuple(self._rates)),
            narration=narration(self._world.outage, elapsed_s, due=due),
            timeline=list(self._world.timeline.lines),
            console_url=self._world.console_url,
            elapsed_s=elapsed_s,
            for_s=self._for_s,
        )

    def last(self, width: int, height: int) -> Sequence[Text]:
        """Return the lines that stay on the terminal after the end."""
        return final(self.picture, width, height, self._glyphs)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield from drawn(self.picture, options.max_width, options.max_height, self._glyphs)


def _stations(world: World, rates: Sequence[float]) -> Sequence[Station]:
    """Return the org, the log and the targets; `rates` are the log's events per second."""
    return (_org(world), _log(world, rates), *(_target(world, name) for name in BEFORE))


def _org(world: World) -> Station:
    latest = world.deals.latest_won
    return Station(
        title="Salesforce",
        counts=(f"{counted(world.deals.won, 'deal')} won",),
        deals=() if latest is None else (latest,),
    )


def _log(world: World, rates: Sequence[float]) -> Station:
    counts = [counted(len(world.accounts.tally.appended_ids), "event")]
    if world.daemon.dispatching.dispatchers[INVOICE].status.is_down:
        counts.append(f"keeps {len(world.deals.waiting_for(INVOICE)):,} for ERP")
    return Station(title=f"Log: {world.log}", counts=counts, rates=rates)


def _target(world: World, name: SubscriberName) -> Station:
    status = world.daemon.dispatching.dispatchers[name].status
    receiver = world.receivers.get(name)
    is_down = receiver is not None and receiver.faults.down
    waiting = world.deals.waiting_for(name)
    letters = sum(each.subscriber == name for each in world.accounts.tally.dead_letters.values())
    recent = world.accounts.tally.recent_s.get(name)
    return Station(
        title=TITLES[name],
        state=StationState.DOWN if is_down else StationState.UP,
        is_open=status.is_down,
        counts=(counted(len(world.accounts.steps.taken[name]), _NOUNS[name]),),
        waiting=len(waiting),
        most_waiting=_full_bar(world),
        letters=letters,
        latency_s=median(recent) if recent else None,
        deals=_shown(tuple(waiting), world.deals.latest.get(name)),
    )


def _full_bar(world: World) -> int:
    """Return the number of deals that fills a bar: the deals of the outage, or the most that have waited."""
    lasts_s = 0.0 if world.outage.plan is None else world.outage.plan.lasts_s
    won = round(lasts_s * world.accounts.scenario.deals_per_second)
    return max(_LEAST_FULL, won, world.outage.most_waiting)


def _shown(waiting: Sequence[Deal], latest: Deal | None) -> Sequence[Deal]:
    return waiting or (() if latest is None else (latest,))
