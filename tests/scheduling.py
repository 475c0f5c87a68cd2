"""Order in which xdist's processes are given the tests, so that all have something to do to the end."""

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling
from xdist.workermanage import WorkerController

Unit = dict[str, bool]

# Those that wait come first, so that there is something to do beside them to the end.
_FOLDERS = ("tests/acceptance/", "tests/integration/", "tests/contracts/", "tests/unit/")


def rank(nodeid: str) -> int:
    """Return the place of a test's folder."""
    return next((place for place, folder in enumerate(_FOLDERS) if nodeid.startswith(folder)), 0)


class Scheduling(LoadScopeScheduling):
    """Gives a process a file of tests at a time, and of acceptance tests one.

    Tests of a file share brokers, which so start once. Acceptance tests are
    long: none waits behind another of its file while a process has nothing to do.

    Files marked `heavy` come first, at half of the processes; the others have
    tests that wait. Files marked `alone` come when all else has ended.
    """

    def __init__(self, config: pytest.Config, log: Producer) -> None:
        """Schedule for as many processes as `config` names."""
        config.option.loadscopereorder = False
        super().__init__(config, log)
        self._alone: OrderedDict[str, Unit] = OrderedDict()
        self._indices: dict[str, int] = {}

    @property
    def tests_finished(self) -> bool:
        """Tell whether every test has been given out and is as good as done."""
        return not self._alone and super().tests_finished

    @property
    def has_pending(self) -> bool:
        """Tell whether there are tests left."""
        return bool(self._alone) or super().has_pending

    def schedule(self) -> None:
        """Give out the first tests, and to a process that comes later its first."""
        if self.collection is None:
            if not self._check_nodes_have_same_collection():
                return
            self._collect(next(iter(self.registered_collections.values())))
        # A process begins a test when it knows of the next one.
        for node in self.nodes * 2:
            self._reschedule(node)
        self._give_out_alone()

    def _collect(self, nodeids: Sequence[str]) -> None:
        self.collection = list(nodeids)
        self._indices = {nodeid: index for index, nodeid in enumerate(nodeids)}
        for nodeid in nodeids:
            scope = self._split_scope(nodeid)
            queue = self._alone if is_marked(scope, "alone") else self.workqueue
            queue.setdefault(scope, {})[nodeid] = False

    def mark_test_complete(self, node: WorkerController, item_index: int, duration: float = 0) -> None:
        """Note the end of a test, and give out more."""
        super().mark_test_complete(node, item_index, duration)
        self._give_out_alone()

    def remove_node(self, node: WorkerController) -> str | None:
        """Forget a process that has ended; return the test during which it crashed."""
        crashed = super().remove_node(node)
        self._give_out_alone()
        return crashed

    def _split_scope(self, nodeid: str) -> str:
        return nodeid if nodeid.startswith(_FOLDERS[0]) else nodeid.partition("::")[0]

    def _assign_work_unit(self, node: WorkerController) -> None:
        heavy, light = self._first(heavy=True), self._first(heavy=False)
        scope = (heavy or light) if self._takes_heavy(node) else (light or heavy)
        assert scope is not None
        unit = self.workqueue.pop(scope)
        self.assigned_work.setdefault(node, {})[scope] = unit
        node.send_runtest_some([self._indices[nodeid] for nodeid, is_done in unit.items() if not is_done])

    def _first(self, *, heavy: bool) -> str | None:
        return next((scope for scope in self.workqueue if is_marked(scope, "heavy") is heavy), None)

    def _takes_heavy(self, node: WorkerController) -> bool:
        """Tell whether a process is, or can become, one of those that have heavy tests."""
        heavy = [
            each
            for each, work in self.assigned_work.items()
            if any(is_marked(scope, "heavy") for scope in _open(work))
        ]
        return node in heavy or len(heavy) < max(1, self.numnodes // 2)

    def _reschedule(self, node: WorkerController) -> None:
        # A process keeps its last test until it hears of another one, or that there is none.
        if self.workqueue or not self._alone or self._others_go_on(node):
            super()._reschedule(node)

    def _others_go_on(self, node: WorkerController) -> bool:
        """Tell whether another process is left for what has to be alone."""
        return any(not other.shutting_down for other in self.nodes if other is not node)

    def _give_out_alone(self) -> None:
        """Give what has to be alone to the last process, once the others have nothing to do."""
        left = [node for node in self.nodes if not node.shutting_down]
        others = [work for node, work in self.assigned_work.items() if node not in left]
        if not self._alone or self.workqueue or len(left) != 1 or any(map(self._pending_of, others)):
            return
        [node] = left
        units, self._alone = self._alone, OrderedDict()
        self.assigned_work[node].update(units)
        node.send_runtest_some([self._indices[nodeid] for unit in units.values() for nodeid in unit])
        node.shutdown()


def _open(work: dict[str, Unit]) -> Iterator[str]:
    return (scope for scope, unit in work.items() if not all(unit.values()))


@cache
def is_marked(scope: str, mark: str) -> bool:
    """Tell whether the file of some tests bears a mark as a whole."""
    path = Path(scope.partition("::")[0])
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    return any(line.startswith("pytestmark") and f"mark.{mark}" in line for line in text.splitlines())
