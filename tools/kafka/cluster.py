"""Cluster of several brokers that replicate each other's data."""

import json
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Self

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from tools.kafka.broker import Broker
from tools.kafka.membership import Membership
from tools.kafka.server import BrokerFailed

_JOIN_DEADLINE_S = 120.0
_QUORUM = "data/__cluster_metadata-0/quorum-state"


class Cluster:
    """Apache Kafka cluster on loopback. Each node is a process that is both broker and controller.

    With three nodes, topics have three copies, and a write with `acks=all` needs
    two of them. Killing one node, even the active controller, delays clients for at
    most a few seconds. Like `Broker`, the cluster is a blocking context manager.
    """

    def __init__(
        self, nodes: int = 3, *, settings: Mapping[str, str] | None = None, proxied: int = 0
    ) -> None:
        """Build the nodes. `settings` and `proxied` apply to each node, as in `Broker`."""
        self._nodes = tuple(
            Broker(settings=settings, proxied=proxied, membership=membership)
            for membership in Membership.of_all(nodes)
        )

    @property
    def nodes(self) -> tuple[Broker, ...]:
        """The nodes. A test can kill, freeze, thaw and restart each node."""
        return self._nodes

    @property
    def bootstrap(self) -> str:
        """Addresses of all plaintext listeners."""
        return ",".join(node.bootstrap for node in self._nodes)

    def proxied_bootstrap(self, number: int = 0) -> str:
        """Return the addresses of proxy `number` of each node."""
        return ",".join(node.proxied[number].bootstrap for node in self._nodes)

    @property
    def controller(self) -> Broker:
        """The node with the active controller, according to the running nodes.

        Raises `BrokerFailed` while no controller is active.
        """
        votes = [_vote(node) for node in self._nodes if node.runs]
        _, leader = max(votes, default=(-1, -1))
        for node in self._nodes:
            if node.node == leader:
                return node
        raise BrokerFailed("no controller is active")

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start all nodes at once, and return when each node knows all nodes."""
        try:
            self._together(Broker.start)
            self.wait_until_complete()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop all nodes, and remove their data."""
        # A graceful stop would wait for the other nodes to take over the partitions.
        self._together(Broker.kill)
        self._together(Broker.stop)

    def wait_until_complete(self) -> None:
        """Return when each node knows all nodes; raises `BrokerFailed` after 120 s."""
        deadline = time.monotonic() + _JOIN_DEADLINE_S
        while not all(_known(node.bootstrap) == len(self._nodes) for node in self._nodes):
            if time.monotonic() > deadline:
                raise BrokerFailed("the nodes did not find each other")
            time.sleep(0.05)

    def _together(self, action: Callable[[Broker], None]) -> None:
        with ThreadPoolExecutor(len(self._nodes)) as threads:
            list(threads.map(action, self._nodes))


def _known(bootstrap: str) -> int:
    quiet: dict[str, Any] = {"log_level": 0, "error_cb": lambda _: None}
    try:
        return len(AdminClient({"bootstrap.servers": bootstrap} | quiet).list_topics(timeout=2).brokers)
    except KafkaException:
        return 0


def _vote(node: Broker) -> tuple[int, int]:
    """Return the epoch and the leader in a controller's view."""
    state = json.loads((node.folder / _QUORUM).read_text(encoding="utf-8"))
    return state["leaderEpoch"], state["leaderId"]
