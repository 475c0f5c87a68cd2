"""One real Kafka broker on loopback: `python -m tools.kafka.broker exec -- make bench`."""

import shutil
import signal
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from tools.kafka.certificate import write_certificate
from tools.kafka.class_archive import make_archive
from tools.kafka.listeners import (
    CONTROLLER,
    PLAINTEXT,
    SASL_SSL,
    Listener,
    ProxiedListener,
    listener_properties,
)
from tools.kafka.membership import Membership
from tools.kafka.server import QUICK_START, BrokerFailed, Server, format_storage
from tools.kafka.users import Users, sasl_properties, scram_arguments
from tools.ports import free_ports, listens

STEADY = {"broker.session.timeout.ms": "60000"}
"""Settings for a broker that no test freezes or kills. A slow moment does not end the broker's session."""

_START_DEADLINE_S = 180.0


class Broker:
    """Apache Kafka node in KRaft mode, with its data in a temporary folder.

    The broker is a blocking context manager: entry starts it; exit stops it and
    removes its data.
    """

    def __init__(
        self,
        *,
        users: Users | None = None,
        settings: Mapping[str, str] | None = None,
        proxied: int = 0,
        membership: Membership | None = None,
        java_options: Sequence[str] = QUICK_START,
    ) -> None:
        """Build a broker, alone or as a member of a cluster.

        `users` adds a SASL_SSL listener. `proxied` is a number of additional
        plaintext listeners, each advertised at a proxy. `settings` are Kafka's own
        settings. For measurements, use `FULL_SPEED` as `java_options`.
        """
        self._users = users
        self._settings = dict(settings or {})
        self._membership = membership or Membership.of_all(1)[0]
        self._java_options = java_options
        self._plain_port, self._sasl_port, *others = free_ports(2 + 2 * proxied)
        ports = zip(others[::2], others[1::2], strict=True)
        self._proxied = tuple(ProxiedListener(port=port, proxy_port=proxy) for port, proxy in ports)
        self._folder: Path | None = None
        self._server: Server | None = None

    @property
    def node(self) -> int:
        """Number of this node in the cluster."""
        return self._membership.node

    @property
    def bootstrap(self) -> str:
        """Address of the plaintext listener."""
        return f"127.0.0.1:{self._plain_port}"

    @property
    def sasl_bootstrap(self) -> str:
        """Address of the SASL_SSL listener."""
        return f"localhost:{self._sasl_port}"

    @property
    def proxied(self) -> tuple[ProxiedListener, ...]:
        """Listeners whose clients connect through proxies."""
        return self._proxied

    @property
    def ca_file(self) -> Path:
        """PEM file that a client of the SASL_SSL listener must trust."""
        return self.folder / "ca.pem"

    @property
    def folder(self) -> Path:
        """Folder of the settings, data and log of this broker."""
        if self._folder is None:
            raise BrokerFailed("the broker was not started")
        return self._folder

    @property
    def pid(self) -> int:
        """Process id of the running broker."""
        return self._running.pid

    @property
    def runs(self) -> bool:
        """True from the start until the process ends, is stopped or killed. A frozen broker still runs."""
        return self._server is not None and self._server.runs()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    def start(self, *, detached: bool = False) -> None:
        """Start with empty data, and return once the broker answers.

        Unless `detached`, the broker dies with the process that started it. Raises
        `BrokerFailed` after 180 s, and `KafkaMissing` without Java.
        """
        make_archive(_run_once)
        self._start(detached=detached)

    def _start(self, *, detached: bool) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="streamer-kafka-"))
        try:
            self._format()
            self._launch(detached=detached)
        except BaseException:
            self.stop()
            raise

    def restart(self) -> None:
        """Start again with the same data and ports, after `kill` or instead of the running process.

        Returns once the broker answers and all its replicas are in sync. If most
        controllers are down, restart them at the same time, because a single
        controller can't get in sync.
        """
        self._end(signal.SIGTERM)
        self._launch(detached=False)

    def stop(self) -> None:
        """Stop gracefully and remove the data."""
        self._end(signal.SIGTERM)
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def kill(self) -> None:
        """Kill the process, as in a power failure. The data stay for `restart`."""
        self._end(signal.SIGKILL)

    def freeze(self) -> None:
        """Suspend the process: connections stay open, but get no answer."""
        self._running.send(signal.SIGSTOP)

    def thaw(self) -> None:
        """Undo `freeze`."""
        self._running.send(signal.SIGCONT)

    @property
    def _running(self) -> Server:
        if self._server is None:
            raise BrokerFailed("the broker does not run")
        return self._server

    def _format(self) -> None:
        if self._users:
            write_certificate(self.folder)
        lines = [f"{name}={value}" for name, value in self._properties().items()]
        properties = self.folder / "server.properties"
        properties.write_text("\n".join(lines), encoding="utf-8")
        format_storage(
            properties, self._membership.cluster, scram_arguments(self._users) if self._users else []
        )

    def _launch(self, *, detached: bool) -> None:
        self._server = Server(self.folder, java_options=self._java_options, detached=detached)
        deadline = time.monotonic() + _START_DEADLINE_S
        while time.monotonic() < deadline and self._running.runs():
            if listens(self._plain_port) and _is_in_sync(self.bootstrap, self.node):
                return
            time.sleep(0.05)
        tail = (self.folder / "server.log").read_text(encoding="utf-8", errors="replace")[-4000:]
        raise BrokerFailed(f"Kafka did not answer at {self.bootstrap}; the end of its log:\n{tail}")

    def _end(self, how: signal.Signals) -> None:
        if self._server is not None:
            self._server.end(how)
            self._server = None

    def _properties(self) -> dict[str, str]:
        return {
            **self._membership.properties(),
            **listener_properties(self._listeners()),
            **(sasl_properties(self._users, self.folder / "server.pem") if self._users else {}),
            "log.dirs": str(self.folder / "data"),
            "log.cleaner.backoff.ms": "500",
            # Tests write old events, and a retention time would delete them at once.
            "log.retention.ms": "-1",
            "offsets.topic.num.partitions": "5",
            "transaction.state.log.num.partitions": "5",
            "group.initial.rebalance.delay.ms": "0",
            "group.min.session.timeout.ms": "500",
            **self._settings,
        }

    def _listeners(self) -> list[Listener]:
        controller = self._membership.controller_port
        listeners = [
            Listener(name=PLAINTEXT, port=self._plain_port, bootstrap=self.bootstrap),
            Listener(name=CONTROLLER, port=controller, bootstrap=f"127.0.0.1:{controller}"),
        ]
        if self._users:
            listeners.append(
                Listener(
                    name=SASL_SSL, port=self._sasl_port, bootstrap=self.sasl_bootstrap, protocol=SASL_SSL
                )
            )
        for number, proxied in enumerate(self._proxied):
            name = f"PROXIED{number}"
            listeners.append(Listener(name=name, port=proxied.port, bootstrap=proxied.bootstrap))
        return listeners


def _run_once(java_options: list[str]) -> None:
    broker = Broker(java_options=[*QUICK_START, *java_options])
    broker._start(detached=False)  # noqa: SLF001 - whoever starts it waits for this very run
    broker.stop()


def _is_in_sync(bootstrap: str, node: int) -> bool:
    """Return true if the node answers as a member of the cluster, and all its partitions are in sync."""
    quiet: dict[str, Any] = {"log_level": 0, "error_cb": lambda _: None}
    try:
        seen = AdminClient({"bootstrap.servers": bootstrap} | quiet).list_topics(timeout=2)
    except KafkaException:
        return False
    partitions = [one for topic in seen.topics.values() for one in topic.partitions.values()]
    return node in seen.brokers and all(node in one.isrs for one in partitions if node in one.replicas)


if __name__ == "__main__":
    import sys

    from tools.kafka.command import main

    sys.exit(main(sys.argv[1:]))
