"""Order in which the processes of `make test` are given the tests."""

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from xdist.remote import Producer

from tests import scheduling
from tests.scheduling import Scheduling, rank

_FILES = {
    "tests/acceptance/test_heavy.py": ("pytestmark = pytest.mark.heavy", 6),
    "tests/acceptance/test_light.py": ("", 4),
    "tests/unit/test_alone.py": ("pytestmark = pytest.mark.alone", 2),
    "tests/unit/test_small.py": ("", 5),
    "tests/unit/test_other.py": ("", 5),
}


class Node:
    """Process that runs what it was given, and keeps its last test until it hears of another one."""

    def __init__(self, name: str) -> None:
        self.gateway = SimpleNamespace(id=name)
        self.shutting_down = False
        self.queue: list[int] = []

    def send_runtest_some(self, indices: Sequence[int]) -> None:
        """Take more tests."""
        self.queue += indices

    def shutdown(self) -> None:
        """End after what there is."""
        self.shutting_down = True


@pytest.fixture
def tests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The tests of some files, which bear marks."""
    monkeypatch.chdir(tmp_path)
    scheduling.is_marked.cache_clear()
    for name, (text, _) in _FILES.items():
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(text, encoding="utf-8")
    found = [f"{name}::test_{number}" for name, (_, count) in _FILES.items() for number in range(count)]
    return sorted(found, key=rank)


def run(tests: Sequence[str], processes: int) -> list[list[str]]:
    """Run the tests, each as long as any other; return what ran at the same time, step by step."""
    config: Any = SimpleNamespace(
        option=SimpleNamespace(loadscopereorder=True), getvalue=lambda _: [f"{processes}*popen"]
    )
    schedule = Scheduling(config, Producer("test", enabled=False))
    nodes: list[Any] = [Node(str(number)) for number in range(processes)]
    for node in nodes:
        schedule.add_node(node)
        schedule.add_node_collection(node, tests)
    schedule.schedule()
    steps = []
    while not schedule.tests_finished or any(node.queue for node in nodes):
        if schedule.tests_finished:
            for node in nodes:
                node.shutdown()
        now = [
            (node, node.queue[0])
            for node in nodes
            if len(node.queue) > 1 or (node.queue and node.shutting_down)
        ]
        assert now, "nothing runs any more"
        steps.append([tests[index] for _, index in now])
        for node, index in now:
            node.queue.pop(0)
            schedule.mark_test_complete(node, index)
    return steps


@pytest.mark.parametrize("processes", [1, 2, 4, 9])
def test_each_test_runs_once(tests: list[str], processes: int) -> None:
    """With few processes and with more than there is work."""
    ran = [test for step in run(tests, processes) for test in step]
    assert sorted(ran) == sorted(tests)


@pytest.mark.parametrize("processes", [2, 4])
def test_what_has_to_be_alone_comes_when_all_else_has_ended(tests: list[str], processes: int) -> None:
    """Nothing runs beside it, nor after it."""
    steps = run(tests, processes)
    assert [len(step) for step in steps[-2:]] == [1, 1]
    assert all("test_alone" in step[0] for step in steps[-2:])
    assert not any("test_alone" in test for step in steps[:-2] for test in step)


def test_half_of_the_processes_have_heavy_tests_from_the_beginning(tests: list[str]) -> None:
    """The others have something that waits beside them."""
    steps = run(tests, 4)
    assert [sum("test_heavy" in test for test in step) for step in steps][:3] == [2, 2, 2]


def test_only_what_has_to_be_alone_is_run_too(tests: list[str]) -> None:
    """A choice of tests can leave nothing else."""
    alone = [test for test in tests if "test_alone" in test]
    assert run(alone, 2) == [[test] for test in alone]
