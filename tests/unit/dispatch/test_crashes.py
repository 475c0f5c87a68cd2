"""After a crash at any point, nothing is lost, and only unrecorded deliveries are repeated."""

from collections import defaultdict

from hypothesis import given, settings
from hypothesis import strategies as st

from streamer.events import Hold, Outcome, Reject, Retry, Skip
from tests.unit.dispatch.world import TARGET, World

_FAILURES: st.SearchStrategy[Outcome] = st.sampled_from(
    [
        Retry(reason="500"),
        Retry(reason="503", after_s=2.0),
        Hold(reason="429", after_s=1.0),
        Reject(reason="422"),
        Skip(reason="not for us"),
    ]
)
ANSWERS = st.lists(_FAILURES, max_size=3)


def recorded(world: World) -> set[str]:
    """Return the ids of what the log holds as settled."""
    found: set[str] = set()
    for partition, progress in world.log.settled.get(TARGET, {}).items():
        for entry in world.log.partitions.of(partition):
            if progress.covers(entry.offset):
                found.add(entry.event.id)
    return found


@settings(max_examples=60)
@given(
    keys=st.lists(st.sampled_from("abcd"), min_size=1, max_size=20),
    answers=st.lists(ANSWERS, min_size=20, max_size=20),
    crashes=st.lists(st.tuples(st.integers(1, 60), st.sampled_from([0, 1, 3])), max_size=5),
    outages=st.sets(st.integers(0, 4)),
)
async def test_no_event_is_lost_and_no_recorded_one_repeated(
    keys: list[str], answers: list[list[Outcome]], crashes: list[tuple[int, int]], outages: set[int]
) -> None:
    """Whatever the target answers, wherever a process ends, and while the log comes and goes."""
    world = World()
    for number, key in enumerate(keys):
        world.target.answers[str(number)].extend(answers[number])
        await world.append(number, key=key, entity="Account" if key < "c" else "Contact")
    for run, (rounds, turned) in enumerate(crashes):
        settled, began = recorded(world), len(world.target.began)
        world.log.faults.fail_after_commit = run in outages
        await world.run_and_crash(rounds)
        await world.turn(turned)
        assert not settled & set(world.target.began[began:])
    world.log.faults.fail_after_commit = False
    async with world.running():
        await world.turn_until(lambda: len(recorded(world)) == len(keys))

    assert_all_in_order(world, keys)


def assert_all_in_order(world: World, keys: list[str]) -> None:
    """Each event was delivered, skipped or set aside, and first tried after all before it of its key."""
    first: dict[str, list[int]] = defaultdict(list)
    for name in dict.fromkeys(world.target.began):
        first[keys[int(name)]].append(int(name))
    assert all(order == sorted(order) for order in first.values())
    assert {int(name) for name in world.target.began} == set(range(len(keys)))
    left = {name for name, rest in world.target.answers.items() if rest}
    aside = {letter.event.id for letter in world.letters if letter.event}
    assert left <= aside | recorded(world)


async def test_quiet_dispatcher_has_recorded_everything(world: World) -> None:
    """So that a crash repeats only what is in flight."""
    world.target.answers["3"].append(Retry(reason="500"))
    await world.append(*range(50))
    async with world.running():
        assert recorded(world) == {str(n) for n in range(50)} - {"3"}
