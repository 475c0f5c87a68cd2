"""Allowances of the org, and the use that counts against them."""

from streamer.clock import TurnedClock
from streamer.sandbox.usage import DAY_S, HOUR_S, OrgUsage, SlidingWindowQuota, UsageLimits


def test_use_leaves_the_window_after_a_day() -> None:
    """Each use counts for 24 hours from its own time on; the total counts on."""
    clock = TurnedClock()
    allowance = SlidingWindowQuota(clock, 10)
    allowance.use(6)
    clock.jump(HOUR_S)
    allowance.use(4)
    assert (allowance.used, allowance.remaining, allowance.is_used_up) == (10, 0, True)
    clock.jump(DAY_S - HOUR_S)
    assert (allowance.used, allowance.remaining) == (4, 6)
    clock.jump(HOUR_S)
    assert (allowance.used, allowance.remaining, allowance.total) == (0, 10, 10)


def test_more_can_be_used_than_there_is() -> None:
    """The remainder is never negative, and another maximum counts at once."""
    allowance = SlidingWindowQuota(TurnedClock(), 3)
    allowance.use(5)
    assert (allowance.used, allowance.remaining) == (5, 0)
    allowance.most = 6
    assert (allowance.remaining, allowance.is_used_up) == (1, False)


def test_frequent_use_takes_little_memory() -> None:
    """A busy day has an entry a minute."""
    clock = TurnedClock()
    allowance = SlidingWindowQuota(clock, 3)
    for _ in range(20_000):
        allowance.use()
        clock.jump(6)
    assert len(allowance._uses) <= 2_001
    assert DAY_S / 6 - 10 <= allowance.used <= DAY_S / 6 + 10


def test_each_kind_of_channel_has_its_own_allowance() -> None:
    """Only platform and change events are delivered events."""
    usage = OrgUsage(TurnedClock(), UsageLimits(delivered_events=7))
    usage.deliver(["/data/ChangeEvents", "/event/Order__e", "/topic/Open", "/u/a", "/u/b"])
    found = {name: allowance.used for name, allowance in usage.allowances.items() if allowance.used}
    assert found == {"delivered_events": 2, "push_topic_events": 1, "generic_events": 2}
    assert usage.allowances["delivered_events"].most == 7
