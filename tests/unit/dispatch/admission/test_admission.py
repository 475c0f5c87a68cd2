"""Several reasons to hold attempts back at once."""

from streamer.events import Hold, Partition
from tests.unit.dispatch.world import World


async def test_hold_goes_on_after_a_pause(world: World) -> None:
    """Nobody knows when a pause ends; after it, the rest of the hold counts."""
    admission = world.admission()
    ticket = admission.begin((Partition(topic="accounts", number=0), "A"))
    admission.overloaded(ticket, seconds=0.0)
    admission.hold(Hold(reason="429", after_s=30.0))
    admission.pause("by an operator")
    assert (admission.opens_in_s, admission.hindrance) == (None, "paused: by an operator")
    await world.turn(10)
    admission.resume()

    assert (admission.opens_in_s, admission.hindrance) == (20.0, "429")
    assert not admission.is_clear()
