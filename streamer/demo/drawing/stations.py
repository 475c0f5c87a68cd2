"""Stations of the demo's chain, as they are in the running world."""

from collections.abc import Sequence
from statistics import median

from streamer.demo.deals import Deal
from streamer.demo.drawing.picture import Station, StationState, counted
from streamer.demo.scenario import BEFORE, INVOICE, SALES_CHANNEL, SHIPMENT, TITLES, WRITE_BACK
from streamer.demo.world import World
from streamer.events import SubscriberName

_NOUNS = {
    INVOICE: "invoice",
    SHIPMENT: "shipment",
    WRITE_BACK: "opportunity",
    SALES_CHANNEL: "message",
}
# A bar of fewer deals would jump with each deal.
_LEAST_FULL = 20


def stations(world: World, rates: Sequence[float]) -> Sequence[Station]:
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
    """Return the number of deals that the org wins during the outage, or of those that did wait."""
    lasts_s = 0.0 if world.outage.plan is None else world.outage.plan.lasts_s
    won = round(lasts_s * world.accounts.scenario.deals_per_second)
    return max(_LEAST_FULL, won, world.outage.most_waiting)


def _shown(waiting: Sequence[Deal], latest: Deal | None) -> Sequence[Deal]:
    return waiting or (() if latest is None else (latest,))
