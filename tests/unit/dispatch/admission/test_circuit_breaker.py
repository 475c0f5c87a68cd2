"""The breaker stops attempts at a target that is down."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from streamer.clock import TurnedClock
from streamer.dispatch.admission.circuit_breaker import BreakerLimits, BreakerState, CircuitBreaker, Permit

LIMITS = BreakerLimits(failure_ratio=0.7, minimum=10, window=50, window_s=300.0, open_s=5.0, max_open_s=60.0)


@pytest.fixture
def clock() -> TurnedClock:
    """Time stands still."""
    return TurnedClock()


@pytest.fixture
def breaker(clock: TurnedClock) -> CircuitBreaker[str]:
    """A closed one, that stays open for as long as it may."""
    return a_breaker(clock)


def a_breaker(clock: TurnedClock, limits: BreakerLimits = LIMITS) -> CircuitBreaker[str]:
    """Return one without chance."""
    return CircuitBreaker(limits, clock, jitter=lambda _, high: high)


def admitted(breaker: CircuitBreaker[str], lane: str) -> Permit[str]:
    """Return the permit of a lane that gets one."""
    permit = breaker.admit(lane)
    assert permit is not None
    return permit


def fail(breaker: CircuitBreaker[str], *lanes: str) -> dict[str, int]:
    """Fail one attempt for each of `lanes`, one after the other; return all that was given back."""
    given_back: Counter[str] = Counter()
    for lane in lanes:
        given_back.update(breaker.failed(admitted(breaker, lane)))
    return dict(given_back)


def succeed(breaker: CircuitBreaker[str], *lanes: str) -> None:
    """Deliver to one lane after the other."""
    for lane in lanes:
        breaker.succeeded(admitted(breaker, lane))


def named(prefix: str, count: int) -> list[str]:
    """Return so many lanes."""
    return [f"{prefix}{number}" for number in range(count)]


def probed_as_soon_as_may_be(breaker: CircuitBreaker[str], clock: TurnedClock, *lanes: str) -> str:
    """Return which of the waiting `lanes` gets the next probe, and fail it."""
    waits = {lane: wait for lane in lanes if (wait := breaker.wait_s(lane)) is not None}
    first = min(waits, key=waits.__getitem__)
    clock.jump(waits[first])
    fail(breaker, first)
    return first


def test_target_that_only_fails_is_left_alone_after_ten_attempts(breaker: CircuitBreaker[str]) -> None:
    """Fewer prove nothing, and more would only be spent."""
    assert fail(breaker, *named("a", 9)) == {}
    assert breaker.state is BreakerState.CLOSED

    assert fail(breaker, "b") == dict.fromkeys([*named("a", 9), "b"], 1)
    assert (breaker.state, breaker.admit("c"), breaker.wait_s("c")) == (BreakerState.OPEN, None, 5.0)


def test_busy_target_that_goes_down_is_left_alone_after_35_failures(breaker: CircuitBreaker[str]) -> None:
    """Millions of earlier successes do not outvote them."""
    succeed(breaker, *named("a", 1_000))
    assert fail(breaker, *named("b", 34)) == {}

    assert len(fail(breaker, "c")) == 35
    assert breaker.state is BreakerState.OPEN


def test_few_broken_keys_do_not_open_it(breaker: CircuitBreaker[str]) -> None:
    """Three failures in five attempts are below the ratio."""
    for number in range(200):
        succeed(breaker, f"a{number}", f"b{number}")
        fail(breaker, *named(f"c{number}.", 3))

    assert breaker.state is BreakerState.CLOSED


def test_old_failures_do_not_open_it(breaker: CircuitBreaker[str], clock: TurnedClock) -> None:
    """Nine broken events of yesterday and one of today do not make an outage."""
    fail(breaker, *named("a", 9))
    clock.jump(300.1)
    assert fail(breaker, "b") == {}

    assert breaker.state is BreakerState.CLOSED


def test_volume_above_the_window_can_be_asked_for() -> None:
    """A minimum that no window holds would switch the breaker off in silence."""
    breaker = a_breaker(TurnedClock(), BreakerLimits(window=5, minimum=20))

    assert len(fail(breaker, *named("a", 20))) == 20


def test_retries_of_a_head_are_all_given_back(breaker: CircuitBreaker[str]) -> None:
    """But not those of an event of the same key that was delivered since."""
    fail(breaker, "a", "b", "b", "b")
    succeed(breaker, "b")

    given_back = fail(breaker, "b", "b", *named("c", 3))
    assert (given_back["a"], given_back["b"]) == (1, 2)


def test_success_of_a_probe_closes_it(breaker: CircuitBreaker[str], clock: TurnedClock) -> None:
    """Then all may go on, and what failed before is forgotten."""
    fail(breaker, *named("a", 10))
    assert "10 of the last 10" in breaker.reason
    clock.jump(5)
    succeed(breaker, "b")
    assert (breaker.state, breaker.reason) == (BreakerState.CLOSED, "")

    assert fail(breaker, *named("c", 9)) == {}


def test_failed_probes_are_given_back_and_come_ever_later(
    breaker: CircuitBreaker[str], clock: TurnedClock
) -> None:
    """A target that is down for days costs no attempt, and is asked once a minute."""
    fail(breaker, *named("a", 10))
    waits = []
    for number in range(6):
        waits.append(breaker.wait_s("new") or 0.0)
        clock.jump(waits[-1])
        assert fail(breaker, f"b{number}") == {f"b{number}": 1}

    assert waits == [5, 10, 20, 40, 60, 60]


def test_next_outage_begins_with_short_waits_again(breaker: CircuitBreaker[str], clock: TurnedClock) -> None:
    """A former outage says nothing about it."""
    fail(breaker, *named("a", 10))
    clock.jump(5)
    fail(breaker, "b")
    clock.jump(10)
    succeed(breaker, "c")
    fail(breaker, *named("d", 10))

    assert breaker.wait_s("new") == 5.0


def test_daemons_that_share_a_target_do_not_probe_it_together(clock: TurnedClock) -> None:
    """Each waits for between half and the whole of the time."""
    asked = []
    breaker = CircuitBreaker[str](LIMITS, clock, jitter=lambda low, high: asked.append((low, high)) or low)  # type: ignore[func-returns-value] # None, so that `or` goes on
    fail(breaker, *named("a", 10))

    assert (asked, breaker.wait_s("new")) == ([(2.5, 5.0)], 2.5)


def test_only_one_event_probes_at_a_time(breaker: CircuitBreaker[str], clock: TurnedClock) -> None:
    """Who is refused waits for what comes of it."""
    fail(breaker, *named("a", 10))
    clock.jump(5)
    probe = admitted(breaker, "a0")

    assert (breaker.admit("b"), breaker.wait_s("b")) == (None, None)
    breaker.failed(probe)
    assert breaker.wait_s("b") == 10.0


def test_keys_probe_in_turn(breaker: CircuitBreaker[str], clock: TurnedClock) -> None:
    """One poisoned head does not hold the breaker open while others wait, and new ones come first."""
    fail(breaker, *named("a", 10))
    asked = [probed_as_soon_as_may_be(breaker, clock, "x", "y", "z") for _ in range(9)]

    assert asked == ["x", "y", "z"] * 3
    assert probed_as_soon_as_may_be(breaker, clock, "x", "y", "new", "z") == "new"


def test_only_key_there_is_probes_again_after_a_moment(
    breaker: CircuitBreaker[str], clock: TurnedClock
) -> None:
    """Nobody else asks, and waiting for others for ever would be the end."""
    fail(breaker, *["a"] * 10)
    clock.jump(5)
    fail(breaker, "a")
    clock.jump(10)
    assert (breaker.admit("a"), breaker.wait_s("a")) == (None, 1.0)

    clock.jump(1)
    succeed(breaker, "a")
    assert breaker.state is BreakerState.CLOSED


def test_probe_that_says_nothing_makes_room_for_the_next(
    breaker: CircuitBreaker[str], clock: TurnedClock
) -> None:
    """Its partition was lost, say; another key tries at once, and it only after a moment."""
    fail(breaker, *named("a", 10))
    clock.jump(7)
    breaker.abandoned(admitted(breaker, "a0"))

    assert (breaker.wait_s("a0"), breaker.wait_s("b")) == (1.0, 0.0)


def test_attempts_that_began_before_an_outage_do_not_disturb_it(breaker: CircuitBreaker[str]) -> None:
    """They are given back when they fail, and neither close nor prolong it."""
    late = [admitted(breaker, lane) for lane in named("late", 3)]
    fail(breaker, *named("a", 10))
    breaker.succeeded(late[0])
    breaker.abandoned(late[1])
    assert breaker.failed(late[2]) == {"late2": 1}

    assert (breaker.state, breaker.wait_s("new")) == (BreakerState.OPEN, 5.0)


def test_late_successes_do_not_hide_the_next_outage(breaker: CircuitBreaker[str], clock: TurnedClock) -> None:
    """They are of a target that worked before the one that has just failed."""
    late = [admitted(breaker, lane) for lane in named("late", 20)]
    fail(breaker, *named("a", 10))
    clock.jump(5)
    succeed(breaker, "b")
    for permit in late:
        breaker.succeeded(permit)

    assert len(fail(breaker, *named("c", 10))) == 10


def test_failure_that_comes_after_the_outage_is_still_its_own(
    breaker: CircuitBreaker[str], clock: TurnedClock
) -> None:
    """An attempt may time out when the target is long back; neither the event nor the target is to blame."""
    late = [admitted(breaker, lane) for lane in named("late", 20)]
    fail(breaker, *named("a", 10))
    clock.jump(5)
    succeed(breaker, "b")

    assert [breaker.failed(permit) for permit in late] == [{permit.lane: 1} for permit in late]
    assert breaker.state is BreakerState.CLOSED


def test_broken_events_are_not_excused_for_ever(breaker: CircuitBreaker[str], clock: TurnedClock) -> None:
    """Ten of them open it; another key got through since, so from then on they spend attempts."""
    broken = named("broken", 10)
    assert fail(breaker, *broken) == dict.fromkeys(broken, 1)
    clock.jump(5)
    succeed(breaker, "sound")

    assert fail(breaker, *broken) == {}
    assert breaker.state is BreakerState.OPEN


def test_failed_probe_is_given_back_whoever_made_it(breaker: CircuitBreaker[str], clock: TurnedClock) -> None:
    """While nobody gets through, a broken event cannot be told from a target that is down."""
    broken = named("broken", 10)
    fail(breaker, *broken)
    clock.jump(5)
    succeed(breaker, "sound")
    fail(breaker, *broken)
    clock.jump(5)

    assert fail(breaker, "broken0") == {"broken0": 1}


def test_lane_that_succeeded_since_is_excused_again(breaker: CircuitBreaker[str], clock: TurnedClock) -> None:
    """Every real outage costs nothing."""
    lanes = named("a", 10)
    for _ in range(3):
        assert fail(breaker, *lanes) == dict.fromkeys(lanes, 1)
        clock.jump(5)
        succeed(breaker, *lanes)
        clock.jump(301)


def test_breaker_remembers_the_last_thousand_lanes(breaker: CircuitBreaker[str], clock: TurnedClock) -> None:
    """An outage of weeks with ever new keys does not fill the memory, nor lose who has just probed."""
    fail(breaker, *named("a", 10))
    for number in range(1_500):
        clock.jump(70)
        fail(breaker, f"b{number}" if number % 900 else "often")
    clock.jump(60)

    assert max(len(breaker._probed), len(breaker._excused)) <= 1_000
    assert not breaker.admit("often")
    assert breaker.admit("b1")


def test_failures_older_than_the_window_stay_spent(breaker: CircuitBreaker[str], clock: TurnedClock) -> None:
    """They were of another time, when the target worked."""
    fail(breaker, "old")
    clock.jump(300.1)

    assert fail(breaker, *named("a", 10)) == dict.fromkeys(named("a", 10), 1)


@given(st.lists(st.sampled_from([True, True, True, False]), max_size=120), st.integers(0, 5))
def test_each_failure_of_an_outage_is_given_back_once(outcomes: list[bool], late: int) -> None:
    """Whatever came before; and nothing is given back without an outage."""
    breaker = a_breaker(TurnedClock())
    in_flight = [admitted(breaker, lane) for lane in named("late", late)]
    given_back: Counter[str] = Counter()
    ended: list[str] = []
    for number, fails in enumerate(outcomes):
        if breaker.state is BreakerState.CLOSED:
            given_back.update((fail if fails else succeed)(breaker, str(number)) or {})
            ended.append(str(number) if fails else "")
    assert bool(given_back) == (breaker.state is BreakerState.OPEN)

    if given_back:
        for permit in in_flight:
            given_back.update(breaker.failed(permit))
        assert given_back == Counter([*filter(None, ended[-50:]), *named("late", late)])


class AnyTarget(RuleBasedStateMachine):
    """Six lanes ask, end in any way and in any order, while time passes."""

    lanes = st.sampled_from(named("lane", 6))

    def __init__(self) -> None:
        """Begin closed."""
        super().__init__()
        self.clock = TurnedClock()
        self.breaker = CircuitBreaker[str](BreakerLimits(minimum=3, window=6, window_s=30.0), self.clock)
        self.in_flight: dict[str, Permit[str]] = {}
        self.probe: str | None = None
        self.spent: Counter[str] = Counter()

    @rule(lane=lanes)
    def ask(self, lane: str) -> None:
        """No two probes at once, and none before its time."""
        if lane in self.in_flight:
            return
        state, wait_s = self.breaker.state, self.breaker.wait_s(lane)
        permit = self.breaker.admit(lane)
        assert (permit is not None) == (wait_s == 0)
        if permit is None:
            return
        self.in_flight[lane] = permit
        assert state is not BreakerState.OPEN
        if state is BreakerState.HALF_OPEN:
            assert self.probe is None
            self.probe = lane

    @precondition(lambda self: self.in_flight)
    @rule(data=st.data(), how=st.sampled_from(["succeeded", "failed", "failed", "abandoned"]))
    def end(self, data: st.DataObject, how: str) -> None:
        """No more is given back than was spent."""
        lane = data.draw(st.sampled_from(sorted(self.in_flight)))
        permit = self.in_flight.pop(lane)
        self.probe = None if lane == self.probe else self.probe
        self.spent[lane] += how == "failed"
        self.spent.subtract(getattr(self.breaker, how)(permit) or {})
        assert min(self.spent.values()) >= 0
        if how == "succeeded":
            self.spent[lane] = 0

    @rule(seconds=st.sampled_from([0.1, 1.0, 5.0, 60.0]))
    def pass_time(self, seconds: float) -> None:
        """Nothing ends."""
        self.clock.jump(seconds)

    @invariant()
    def somebody_gets_through(self) -> None:
        """However it came about, waiting for as long as one is told is enough."""
        waits = {self.breaker.wait_s(lane) for lane in named("lane", 6)}
        if self.probe is not None:
            assert waits == {None}
        else:
            assert all(wait is not None and wait <= 61.0 for wait in waits)


TestAnyTarget = AnyTarget.TestCase
TestAnyTarget.settings = settings(max_examples=50, stateful_step_count=60)


def test_events_of_one_call_count_as_one_attempt() -> None:
    """A lost connection with two hundred events on it is one sign that the target is down."""
    breaker = a_breaker(TurnedClock(), BreakerLimits(minimum=3, window=5))
    permits = [admitted(breaker, str(number)) for number in range(800)]
    for number in range(600):
        assert breaker.state is BreakerState.CLOSED
        given_back = breaker.failed(permits[number], 1 / 200)

    assert breaker.state is BreakerState.OPEN
    assert set(given_back) == {str(number) for number in range(600)}
    assert breaker.failed(permits[600], 1 / 200) == {"600": 1}
    assert "600 of the last 600 attempts" in breaker.reason


def test_window_holds_as_many_calls_as_attempts() -> None:
    """Old calls make room for new ones."""
    breaker = a_breaker(TurnedClock(), BreakerLimits(minimum=3, window=4, failure_ratio=0.6))
    for _ in range(40):
        breaker.succeeded(admitted(breaker, "a"), 1 / 10)
    for number in range(23):
        breaker.failed(admitted(breaker, str(number)), 1 / 10)
        assert breaker.state is BreakerState.CLOSED
    breaker.failed(admitted(breaker, "b"), 1 / 10)

    assert breaker.state is BreakerState.OPEN
