"""Signs of life."""

from streamer.clock import TurnedClock
from streamer.observe.process import Pulses


async def test_thread_that_ends_in_good_order_leaves_nothing() -> None:
    """One that dies in its work leaves its last beat behind, which grows old."""
    clock = TurnedClock()
    pulses = Pulses(clock)
    pulses.begin("dying")
    ending = pulses.begin("ending")
    await clock.turn(5)
    pulses.end(ending)

    assert pulses.beats() == {"dying": clock.monotonic() - 5}


def test_thread_that_began_anew_is_not_ended_by_the_former_one() -> None:
    """A partition that comes back has a new writer of the same name."""
    pulses = Pulses(TurnedClock())
    former, present = pulses.begin("writer"), pulses.begin("writer")
    present.rest()
    pulses.end(former)

    assert pulses.beats() == {"writer": None}
