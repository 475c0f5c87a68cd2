"""Membership of a broker in a cluster."""

import base64
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from tools.ports import free_ports

_MOST_REPLICAS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Membership:
    """Membership of a node that is both broker and controller.

    `controllers` holds the controller's port of each node of the cluster.
    """

    cluster: str
    node: int
    controllers: Mapping[int, int]

    @classmethod
    def of_all(cls, nodes: int) -> list[Self]:
        """Return the memberships of a new cluster, counted from 1."""
        # Kafka's id is 16 bytes in URL-safe base64. The zero prevents a "-" at the beginning.
        cluster = base64.urlsafe_b64encode(b"\0" + secrets.token_bytes(15)).decode().rstrip("=")
        controllers = dict(enumerate(free_ports(nodes), start=1))
        return [cls(cluster=cluster, node=node, controllers=controllers) for node in controllers]

    @property
    def controller_port(self) -> int:
        """Port of this controller for the other controllers."""
        return self.controllers[self.node]

    def properties(self) -> dict[str, str]:
        """Return Kafka's settings: three copies on three nodes, two of them in sync."""
        voters = [f"{node}@127.0.0.1:{port}" for node, port in self.controllers.items()]
        replicas = min(len(self.controllers), _MOST_REPLICAS)
        in_sync = str(max(replicas - 1, 1))
        return {
            "process.roles": "broker,controller",
            "node.id": str(self.node),
            "controller.quorum.voters": ",".join(voters),
            "default.replication.factor": str(replicas),
            "min.insync.replicas": in_sync,
            "offsets.topic.replication.factor": str(replicas),
            "transaction.state.log.replication.factor": str(replicas),
            "transaction.state.log.min.isr": in_sync,
            "share.coordinator.state.topic.replication.factor": str(replicas),
            "share.coordinator.state.topic.min.isr": in_sync,
            **_QUICK_FAILOVER,
        }


# A killed broker can join again only after its earlier session has ended. The
# controllers elect a new leader in about two seconds.
_QUICK_FAILOVER = {
    "broker.session.timeout.ms": "2000",
    "broker.heartbeat.interval.ms": "300",
    "controller.quorum.election.timeout.ms": "500",
    "controller.quorum.election.backoff.max.ms": "300",
    "controller.quorum.fetch.timeout.ms": "1500",
    "controller.quorum.request.timeout.ms": "1000",
}
