"""One real Kafka broker on the loopback: `python -m tools.kafka.broker exec -- make bench`."""

import base64
import random
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from tools.kafka.certificate import write_certificate
from tools.kafka.jars import jars, java

_START_DEADLINE_S = 60.0
_STOP_DEADLINE_S = 15.0
# Below what Linux, macOS and Windows give to connections: a client that calls
# a broker which is down must not be given the very port that it calls.
_PORTS = range(15_000, 32_000)
# Kills the broker and clears its folder once the pipe to its starter breaks, however that one ended.
_WATCHDOG = 'read -r _; kill -9 "$1"; rm -rf "$2"'


class BrokerFailed(Exception):
    """The broker did not start; the message ends with its log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Users:
    """Who may come in over SASL_SSL: names and passwords, by mechanism."""

    plain: Mapping[str, str] = field(default_factory=dict)
    scram: Mapping[str, str] = field(default_factory=dict)


class Broker:
    """Apache Kafka in KRaft mode, one node, with its data in a temporary folder.

    A context: started on entry, stopped and its data removed on exit. Blocking.
    """

    def __init__(self, *, users: Users | None = None, settings: Mapping[str, str] | None = None) -> None:
        """Prepare a broker; `users` adds a SASL_SSL listener, `settings` are Kafka's own."""
        self._users = users
        self._settings = dict(settings or {})
        self._plain_port, self._controller_port, self._sasl_port = _free_ports(3)
        self._folder: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._watchdog: subprocess.Popen[bytes] | None = None

    @property
    def bootstrap(self) -> str:
        """The address of the plaintext listener."""
        return f"127.0.0.1:{self._plain_port}"

    @property
    def sasl_bootstrap(self) -> str:
        """The address of the SASL_SSL listener."""
        return f"localhost:{self._sasl_port}"

    @property
    def ca_file(self) -> Path:
        """The PEM file that a client of the SASL_SSL listener must trust."""
        return self.folder / "ca.pem"

    @property
    def folder(self) -> Path:
        """Where settings, data and log of this broker are."""
        if self._folder is None:
            raise BrokerFailed("the broker was not started")
        return self._folder

    @property
    def pid(self) -> int:
        """The process id of the running broker."""
        return self._running.pid

    def __enter__(self) -> Self:
        """Start."""
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        """Stop and forget the data."""
        self.stop()

    def start(self, *, detached: bool = False) -> None:
        """Start on fresh data and return once it answers.

        A broker that is not `detached` dies with the process that started it.
        Raises `BrokerFailed` after 60 s, `KafkaMissing` without Java.
        """
        self._folder = Path(tempfile.mkdtemp(prefix="streamer-kafka-"))
        try:
            self._format()
            self._launch(detached=detached)
        except BaseException:
            self.stop()
            raise

    def restart(self) -> None:
        """Start again on the same data and port, after `kill` or instead of what runs."""
        self._end(signal.SIGTERM)
        self._launch(detached=False)

    def stop(self) -> None:
        """Stop in good order and remove the data."""
        self._end(signal.SIGTERM)
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def kill(self) -> None:
        """End the process as a power cut would; the data stay for `restart`."""
        self._end(signal.SIGKILL)

    def freeze(self) -> None:
        """Stop the process without its peers noticing: connections stay open, nothing answers."""
        self._running.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Undo `freeze`."""
        self._running.send_signal(signal.SIGCONT)

    @property
    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise BrokerFailed("the broker does not run")
        return self._process

    def _format(self) -> None:
        if self._users:
            write_certificate(self.folder)
        lines = [f"{name}={value}" for name, value in self._properties().items()]
        (self.folder / "server.properties").write_text("\n".join(lines), encoding="utf-8")
        # Kafka takes 16 bytes in URL-safe base64; the zero keeps a "-" from coming first.
        cluster = base64.urlsafe_b64encode(b"\0" + secrets.token_bytes(15)).decode().rstrip("=")
        arguments = ["format", "-t", cluster, "-c", str(self.folder / "server.properties")]
        for name, password in (self._users.scram if self._users else {}).items():
            for mechanism in ("SCRAM-SHA-256", "SCRAM-SHA-512"):
                arguments += ["--add-scram", f"{mechanism}=[name={name},password={password}]"]
        tool = [java(), "-Xshare:auto", "-cp", f"{jars()}/*", "kafka.tools.StorageTool"]
        formatted = subprocess.run(
            [*tool, *arguments], check=False, capture_output=True, text=True, timeout=_START_DEADLINE_S
        )
        if formatted.returncode != 0:
            raise BrokerFailed(f"Kafka's storage was not formatted:\n{formatted.stdout}{formatted.stderr}")

    def _launch(self, *, detached: bool) -> None:
        command = [java(), "-Xmx768m", "-Dorg.apache.logging.log4j.level=WARN", "-cp", f"{jars()}/*"]
        with (self.folder / "server.log").open("ab") as log:
            # A session of its own: Ctrl-C is for us, and we stop the broker in good order.
            self._process = subprocess.Popen(
                [*command, "kafka.Kafka", str(self.folder / "server.properties")],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        if not detached:
            self._watchdog = subprocess.Popen(
                ["sh", "-c", _WATCHDOG, "watchdog", str(self._process.pid), str(self.folder)],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        self._wait_until_it_answers()

    def _wait_until_it_answers(self) -> None:
        deadline = time.monotonic() + _START_DEADLINE_S
        while time.monotonic() < deadline and self._running.poll() is None:
            if _listens(self._plain_port) and _answers(self.bootstrap):
                return
            time.sleep(0.05)
        tail = (self.folder / "server.log").read_text(encoding="utf-8", errors="replace")[-4000:]
        raise BrokerFailed(f"Kafka did not answer at {self.bootstrap}; the end of its log:\n{tail}")

    def _end(self, how: signal.Signals) -> None:
        if self._watchdog is not None:
            self._watchdog.kill()
            if self._watchdog.stdin is not None:
                self._watchdog.stdin.close()
            self._watchdog.wait()
            self._watchdog = None
        if self._process is not None:
            end_process(self._process, how)
            self._process = None

    def _properties(self) -> dict[str, str]:
        listeners = {"PLAINTEXT": self._plain_port, "CONTROLLER": self._controller_port}
        properties = {
            "process.roles": "broker,controller",
            "node.id": "1",
            "controller.quorum.voters": f"1@127.0.0.1:{self._controller_port}",
            "controller.listener.names": "CONTROLLER",
            "log.dirs": str(self.folder / "data"),
            "log.cleaner.backoff.ms": "500",
            # A broker that was killed is let in again only when its former session has ended.
            "broker.session.timeout.ms": "2000",
            "broker.heartbeat.interval.ms": "300",
            "offsets.topic.replication.factor": "1",
            "offsets.topic.num.partitions": "5",
            "transaction.state.log.replication.factor": "1",
            "transaction.state.log.min.isr": "1",
            "transaction.state.log.num.partitions": "5",
            "share.coordinator.state.topic.replication.factor": "1",
            "share.coordinator.state.topic.min.isr": "1",
            "group.initial.rebalance.delay.ms": "0",
            "group.min.session.timeout.ms": "500",
        }
        advertised = f"PLAINTEXT://{self.bootstrap}"
        if self._users:
            listeners["SASL_SSL"] = self._sasl_port
            advertised += f",SASL_SSL://{self.sasl_bootstrap}"
            properties |= _sasl_properties(self._users, self.folder / "server.pem")
        properties["listeners"] = ",".join(f"{name}://127.0.0.1:{port}" for name, port in listeners.items())
        properties["advertised.listeners"] = advertised
        return properties | self._settings


def _sasl_properties(users: Users, keystore: Path) -> dict[str, str]:
    modules = "org.apache.kafka.common.security"
    logins = "".join(f' user_{name}="{password}"' for name, password in users.plain.items())
    plain = f"{modules}.plain.PlainLoginModule required{logins};"
    scram = f"{modules}.scram.ScramLoginModule required;"
    return {
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL_SSL:SASL_SSL",
        "sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512",
        "listener.name.sasl_ssl.plain.sasl.jaas.config": plain,
        "listener.name.sasl_ssl.scram-sha-256.sasl.jaas.config": scram,
        "listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config": scram,
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(keystore),
        # Rules apply to names on this listener; whoever comes over plaintext may do everything.
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": "User:ANONYMOUS",
        "allow.everyone.if.no.acl.found": "true",
    }


def end_process(process: subprocess.Popen[bytes], how: signal.Signals) -> None:
    """End `process` by `how`, or by force when that takes too long, and reap it."""
    process.send_signal(signal.SIGCONT)
    process.send_signal(how)
    try:
        process.wait(_STOP_DEADLINE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _free_ports(count: int) -> list[int]:
    """Return ports that the system hands to nobody by itself: they stay ours through a restart."""
    ports: list[int] = []
    while len(ports) < count:
        port = random.choice(_PORTS)
        if port not in ports and not _is_taken(port):
            ports.append(port)
    return ports


def _is_taken(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
        return False


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _answers(bootstrap: str) -> bool:
    quiet: dict[str, Any] = {"log_level": 0, "error_cb": lambda _: None}
    try:
        admin = AdminClient({"bootstrap.servers": bootstrap} | quiet)
        return bool(admin.list_topics(timeout=2).brokers)
    except KafkaException:
        return False


if __name__ == "__main__":
    import sys

    from tools.kafka.command import main

    sys.exit(main(sys.argv[1:]))
