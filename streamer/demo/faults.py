"""Faults of the demo: the outage of the ERP, and a shipment that fulfilment refuses for good."""

import re

from streamer.clock import Clock
from streamer.demo.outage import Outage
from streamer.demo.scenario import INVOICE, SHIPMENT
from streamer.demo.world import World

_REFUSED_STATUS = 422


async def inject_faults(world: World, outage: Outage, clock: Clock) -> None:
    """Take the ERP down, poison a sale in the middle of the outage, and restore the ERP at the end."""
    world.outage.plan = outage
    await clock.sleep(outage.at_s)
    erp = world.receivers[INVOICE]
    erp.faults.down = True
    world.outage.down_at = world.timeline.elapsed_s
    world.timeline.add("the ERP is down")
    try:
        await clock.sleep(outage.lasts_s / 2)
        poison_sale(world)
        await clock.sleep(outage.lasts_s / 2)
    finally:
        erp.faults.down = False
        world.outage.end(world.deals.ids_waiting_for(INVOICE), world.timeline.elapsed_s)
        world.timeline.add(f"the ERP is back; {len(world.outage.waited)} deals wait for their invoices")


def poison_sale(world: World) -> str:
    """Win an opportunity whose shipment is rejected for good, and return its id."""
    poisoned = world.accounts.scenario.win_refused()
    faults = world.receivers[SHIPMENT].faults
    faults.fail_keys, faults.fail_status = re.escape(poisoned), _REFUSED_STATUS
    world.accounts.poisoned.add(poisoned)
    world.timeline.add("fulfilment will refuse one shipment for good")
    return poisoned
