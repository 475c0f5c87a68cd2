"""The concurrency limit finds out how many requests a target can take."""

import heapq
import math
import random
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.clock import TurnedClock
from streamer.dispatch.admission.concurrency import AdaptiveConcurrency

Latency = Callable[[int], float]
"""Latency of an answer while so many attempts are under way; below zero it is refused after that time."""


class Target:
    """A target that always has as many attempts under way as the pace allows."""

    def __init__(self, concurrency: AdaptiveConcurrency, clock: TurnedClock, latency: Latency) -> None:
        """Begin with none."""
        self._pace = concurrency
        self._clock = clock
        self._latency = latency
        self._open: list[tuple[float, float, bool]] = []
        self.answered = self.refused = 0

    def run(self, seconds: float, *, until: int | None = None) -> float:
        """Answer for `seconds`, or until the limit is what is said; return how long that took."""
        began = self._clock.monotonic()
        while self._clock.monotonic() < began + seconds and self._pace.limit != until:
            while self._pace.has_room:
                at = begun(self._pace, self._clock)
                latency = self._latency(len(self._open) + 1)
                heapq.heappush(self._open, (at + abs(latency), at, latency < 0))
            self.end_first()
        return self._clock.monotonic() - began

    def end_first(self) -> None:
        """End the attempt that is due first."""
        due, began, is_refused = heapq.heappop(self._open)
        self._clock.jump(max(0.0, due - self._clock.monotonic()))
        seconds = self._clock.monotonic() - began
        if is_refused:
            self._pace.overloaded(seconds)
        else:
            self._pace.succeeded(seconds)
        self.refused += is_refused
        self.answered += not is_refused


@pytest.fixture
def clock() -> TurnedClock:
    """Time stands still."""
    return TurnedClock()


def begun(concurrency: AdaptiveConcurrency, clock: TurnedClock) -> float:
    """Begin an attempt; return when."""
    concurrency.began()
    return clock.monotonic()


def full(clock: TurnedClock, limit: int) -> tuple[AdaptiveConcurrency, list[float]]:
    """Return a pace with as many attempts under way as it allows, and when these began."""
    concurrency = AdaptiveConcurrency(limit, clock, start=limit)
    return concurrency, [begun(concurrency, clock) for _ in range(limit)]


def around(seconds: float, seed: int, spread: float) -> Latency:
    """Return latencies that vary as those of real targets do: never far below, at times far above."""
    draw = random.Random(seed)  # noqa: S311 - a simulation
    return lambda _: seconds * draw.lognormvariate(0, spread)


@pytest.mark.parametrize("spread", [0.0, 0.1, 0.3, 1.0])
def test_healthy_fast_target_is_soon_used_to_the_full(clock: TurnedClock, spread: float) -> None:
    """From 4 to 64 takes about a second at 5 ms, however much latency varies."""
    for seed in range(3):
        target = Target(AdaptiveConcurrency(64, clock), clock, around(0.005, seed, spread))

        assert target.run(5.0, until=64) < 1.5


def test_target_that_bears_twenty_is_sent_little_more(clock: TurnedClock) -> None:
    """It refuses few and is kept busy: 20 at once with 50 ms each are 400 in a second."""
    answer = around(0.05, 1, 0.2)
    target = Target(
        AdaptiveConcurrency(64, clock), clock, lambda open_: answer(open_) if open_ <= 20 else -0.002
    )
    target.run(20.0)

    assert target.answered > 0.75 * 20 * 400
    assert target.refused < 0.05 * target.answered


def test_target_without_limit_but_with_a_queue_is_not_flooded(clock: TurnedClock) -> None:
    """Above 15 at once this one, which does 3,000 in a second, only queues: it stays busy with far fewer."""
    vary = around(1.0, 1, 0.2)
    concurrency = AdaptiveConcurrency(256, clock)
    target = Target(concurrency, clock, lambda open_: max(0.005, open_ / 3000) * vary(open_))
    target.run(5.0)

    assert target.answered > 0.9 * 5 * 3000
    assert concurrency.limit < 128


@pytest.mark.parametrize("spread", [0.0, 0.3])
def test_lasting_change_of_latency_costs_little(clock: TurnedClock, spread: float) -> None:
    """A target that from now on takes ten times as long is not overloaded."""
    factor = 1
    vary = around(0.005, 1, spread)
    concurrency = AdaptiveConcurrency(64, clock)
    target = Target(concurrency, clock, lambda open_: factor * vary(open_))
    target.run(3.0)
    factor = 10
    target.run(1.0)
    assert concurrency.limit > 32

    assert target.run(10.0, until=64) < 10.0


def test_burst_of_failures_is_one_decrease(clock: TurnedClock) -> None:
    """All 64 were under way when the target stumbled; they say one thing, not 64."""
    concurrency, in_flight = full(clock, 64)
    clock.jump(1.0)
    for began in in_flight:
        concurrency.overloaded(clock.monotonic() - began)

    assert concurrency.limit == 57


@pytest.mark.parametrize("spread", [0.0, 0.1, 0.3, 1.0])
def test_target_of_sixteen_workers_is_given_about_sixteen(clock: TurnedClock, spread: float) -> None:
    """More would only wait for each other. It stays busy, and is used to the full when it grows."""
    workers = 16
    vary = around(1.0, 1, spread)
    concurrency = AdaptiveConcurrency(64, clock)
    target = Target(concurrency, clock, lambda open_: 0.2 * max(1.0, open_ / workers) * vary(open_))
    target.run(20.0)
    answered, limits = target.answered, []
    for _ in range(120):
        target.run(0.5)
        limits.append(concurrency.limit)

    mean_latency_s = 0.2 * math.exp(spread**2 / 2)
    assert target.answered - answered > 0.9 * 60 * workers / mean_latency_s
    assert max(limits) < 40
    assert 12 < sum(limits) / len(limits) < 28

    workers = 64
    assert target.run(60.0, until=64) < 30.0


def test_target_that_becomes_slower_for_all_is_not_mistaken_for_a_queue(clock: TurnedClock) -> None:
    """Its latency does not fall when it is given less."""
    latency_s = 0.05
    concurrency = AdaptiveConcurrency(64, clock, start=64)
    target = Target(concurrency, clock, lambda _: latency_s)
    target.run(2.0)
    latency_s = 0.1
    limits = []
    for _ in range(100):
        target.run(0.1)
        limits.append(concurrency.limit)

    assert min(limits) == 32
    assert limits.count(32) < 10
    assert limits[-1] == 64


def test_answers_that_were_under_way_say_nothing_about_half_the_limit(clock: TurnedClock) -> None:
    """They waited in the queue of the whole limit."""
    workers = 16
    concurrency = AdaptiveConcurrency(64, clock, start=64)
    target = Target(concurrency, clock, lambda _: 0.2)
    target.run(2.0)
    target._latency = lambda open_: 0.2 * max(1.0, open_ / workers)
    target.run(10.0)

    assert concurrency.limit < 32


def test_fast_target_is_not_slowed_by_our_own_work(clock: TurnedClock) -> None:
    """A latency that grows by milliseconds with more attempts is this process's own time."""
    concurrency = AdaptiveConcurrency(64, clock)
    target = Target(concurrency, clock, lambda open_: 0.0002 * open_)

    assert target.run(5.0, until=64) < 3.0
    target.run(2.0)
    assert concurrency.limit == 64


def test_fast_refusals_are_one_decrease_in_a_round_trip(clock: TurnedClock) -> None:
    """A target that refuses in 1 ms and works in 100 is not judged a hundred times meanwhile."""
    concurrency = AdaptiveConcurrency(64, clock, start=64)
    target = Target(concurrency, clock, lambda _: 0.1)
    target.run(1.0)
    target._latency = lambda _: -0.001
    target.run(0.35)

    assert 64 * 0.9**4 <= concurrency.limit + 1 <= 64 * 0.9**2 + 1


def test_fast_answers_are_one_step_in_a_round_trip(clock: TurnedClock) -> None:
    """A few lucky answers prove nothing about a target that takes 100 ms for most."""
    concurrency = AdaptiveConcurrency(64, clock)
    target = Target(concurrency, clock, lambda _: 0.1)
    target.run(1.0)
    limit = concurrency.limit
    target._latency = lambda _: 0.001
    target.run(0.2)

    assert limit < concurrency.limit <= limit + 3


def test_target_that_only_fails_is_still_tried(clock: TurnedClock) -> None:
    """One at a time; with none nobody would learn that it is back."""
    concurrency = AdaptiveConcurrency(64, clock)
    Target(concurrency, clock, lambda _: -0.01).run(10.0)

    assert concurrency.limit == 1


def test_steady_target_is_not_slowed_for_a_trifle(clock: TurnedClock) -> None:
    """Where latency never varies, a tenth more is still no sign of overload."""
    concurrency = AdaptiveConcurrency(64, clock, start=64)
    target = Target(concurrency, clock, lambda _: 0.01)
    target.run(2.0)
    target._latency = lambda _: 0.011
    target.run(0.1)

    assert concurrency.limit == 64


def test_limit_that_is_not_reached_does_not_grow(clock: TurnedClock) -> None:
    """Nobody knows if the target would bear more; having reached it once does not prove it."""
    concurrency = AdaptiveConcurrency(64, clock, start=8)
    for number in range(100):
        began = [begun(concurrency, clock) for _ in range(7 if number else 8)]
        clock.jump(0.01)
        for each in began:
            concurrency.succeeded(clock.monotonic() - each)

    assert concurrency.limit <= 9


def test_what_says_nothing_of_the_target_changes_nothing(clock: TurnedClock) -> None:
    """Skipped events take no time, which is not the target's merit."""
    concurrency = AdaptiveConcurrency(64, clock)
    target = Target(concurrency, clock, lambda _: 0.01)
    target.run(0.1)
    limit, mean_s = concurrency.limit, concurrency._mean_s
    for _ in range(100):
        concurrency.began()
        concurrency.abandoned()

    assert (concurrency.limit, concurrency._mean_s) == (limit, mean_s)


ENDS = st.lists(st.tuples(st.sampled_from(["succeeded", "overloaded", "abandoned"]), st.floats(0.001, 5)))


@given(maximum=st.integers(1, 20), ends=ENDS)
def test_limit_stays_within_its_bounds(maximum: int, ends: list[tuple[str, float]]) -> None:
    """It never stops everything, never exceeds what is configured, and moves in small steps."""
    clock = TurnedClock()
    concurrency = AdaptiveConcurrency(maximum, clock)
    for end, seconds in ends:
        before = concurrency._limit
        began = [begun(concurrency, clock) for _ in range(concurrency.limit)]
        clock.jump(seconds)
        for each in began:
            took = clock.monotonic() - each
            concurrency.abandoned() if end == "abandoned" else getattr(concurrency, end)(took)
        assert 1 <= concurrency.limit <= maximum
        assert max(1.0, before * 0.9) <= concurrency._limit <= before + 1
        assert concurrency.has_room


def in_batches(concurrency: AdaptiveConcurrency, clock: TurnedClock, latency: Latency, calls: int) -> None:
    """Make `calls` calls, one after the other in as many at once as allowed, each of a full batch of 50."""
    open_: list[tuple[float, list[float]]] = []
    for _ in range(calls):
        while concurrency.has_room:
            began = [begun(concurrency, clock) for _ in range(50)]
            open_.append((began[0] + latency(len(open_) + 1), began))
        due, began = open_.pop(0)
        clock.jump(max(0.0, due - clock.monotonic()))
        for each in began:
            concurrency.succeeded(clock.monotonic() - each, 1 / 50)


def test_target_of_batches_is_judged_by_its_calls(clock: TurnedClock) -> None:
    """The limit grows by a batch for each round trip, and not by one event."""
    concurrency = AdaptiveConcurrency(1_000, clock, batch=50)
    assert concurrency.limit == 200
    in_batches(concurrency, clock, lambda _: 0.1, calls=400)

    assert concurrency.limit == 1_000


def test_target_that_queues_calls_is_given_fewer_of_them_but_full_ones(clock: TurnedClock) -> None:
    """One that makes a call after the other is busy with two at once."""
    concurrency = AdaptiveConcurrency(1_000, clock, batch=50)
    in_batches(concurrency, clock, lambda open_: 0.1 * open_, calls=2_000)

    assert concurrency.limit % 50 == 0
    assert 50 <= concurrency.limit <= 300
