"""Faults of the demo: the ERP goes down for a while, and one shipment is refused for good."""

import re
from dataclasses import dataclass
from typing import Self

from streamer.clock import Clock
from streamer.demo.chain import INVOICE, SHIPMENT
from streamer.demo.world import World

_SHARE = 0.3
_REFUSED = 422


@dataclass(frozen=True, slots=True, kw_only=True)
class Outage:
    """Time at which the ERP goes down, in seconds since the beginning, and for how long."""

    at_s: float = 20.0
    lasts_s: float = 10.0

    @classmethod
    def within(cls, for_s: float | None) -> Self:
        """Return an outage that leaves a demo of `for_s` seconds time to recover."""
        outage = cls()
        if for_s is None:
            return outage
        return cls(at_s=min(outage.at_s, for_s * _SHARE), lasts_s=min(outage.lasts_s, for_s * _SHARE))


async def inject_faults(world: World, outage: Outage, clock: Clock) -> None:
    """Take the ERP down and poison a sale in the middle of the outage; the ERP is back when it ends."""
    world.timeline.add(f"the ERP goes down in {outage.at_s:.0f} s, for {outage.lasts_s:.0f} s")
    await clock.sleep(outage.at_s)
    erp = world.receivers[INVOICE]
    erp.faults.down = True
    world.timeline.add("the ERP is down")
    try:
        await clock.sleep(outage.lasts_s / 2)
        poison_sale(world)
        await clock.sleep(outage.lasts_s / 2)
    finally:
        erp.faults.down = False
        world.timeline.add("the ERP is back")


def poison_sale(world: World) -> str:
    """Win an opportunity whose shipment is refused for good, and return its id."""
    poisoned = world.scenario.win_refused()
    faults = world.receivers[SHIPMENT].faults
    faults.fail_keys, faults.fail_status = re.escape(poisoned), _REFUSED
    world.poisoned.add(poisoned)
    world.timeline.add("fulfilment refuses one shipment for good")
    return poisoned
