"""Admin clients end when their log is closed, and never by garbage collection.

Python can collect garbage while librdkafka's own thread delivers an answer. A
client that is freed there ends the process.
"""

import asyncio
import gc
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from streamer.clock import SystemClock
from streamer.errors import LogUnavailable
from streamer.log.kafka import log as module
from streamer.log.kafka.cluster.clients import Clients, Connectivity, RenewedAdminClient
from streamer.log.kafka.cluster.errors import KafkaErrors
from streamer.log.kafka.history.history import KafkaHistory
from streamer.log.kafka.log import KafkaLog
from streamer.log.kafka.topics.admin import KafkaAdmin
from streamer.log.kafka.topics.provisioner import TopicProvisioner
from streamer.observe.process import Pulses
from streamer.settings import KafkaLogSettings
from tests.waiting import limited, until

SETTINGS = KafkaLogSettings(bootstrap_servers="127.0.0.1:9")


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchedClients(Clients):
    """Clients that note which admin clients were made, and on which threads they were freed."""

    made: list[None] = field(default_factory=list)
    freed: list[str] = field(default_factory=list)

    def admin(self, *_: Any) -> AdminClient:
        """Return a client that notes its end."""
        freed = self.freed

        class Watched(AdminClient):
            def __del__(self) -> None:
                freed.append(threading.current_thread().name)

        self.made.append(None)
        return Watched({"bootstrap.servers": "127.0.0.1:9", "log_level": 0})


@pytest.fixture
def clients() -> Iterator[WatchedClients]:
    """Clients whose garbage nobody collects."""
    gc.disable()
    yield WatchedClients(settings=SETTINGS)
    gc.enable()


async def test_closed_log_frees_its_admin_clients(clients: WatchedClients) -> None:
    """None is left to the garbage, and the loop does not wait for their ends."""
    log = KafkaLog(clients, TopicProvisioner(clients), Pulses(SystemClock()))
    await log.close()
    async with limited("the ends of the clients"):
        await until(lambda: len(clients.freed) == len(clients.made))

    assert clients.made
    assert threading.current_thread().name not in clients.freed


async def test_log_that_cannot_be_opened_frees_its_admin_client(
    clients: WatchedClients, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error and its traceback live on, and the daemon tries again."""
    refused = KafkaException(KafkaError(KafkaError.SASL_AUTHENTICATION_FAILED))

    def refuse(*_: Any, **__: Any) -> Any:
        raise refused

    monkeypatch.setattr(module, "Clients", lambda **_: clients)
    monkeypatch.setattr(KafkaAdmin, "cluster", refuse)
    with pytest.raises(KafkaException) as raised:
        async with KafkaLog.open(SETTINGS, SystemClock()):
            pass
    async with limited("the end of the client"):
        await until(lambda: len(clients.freed) == len(clients.made) == 1)
    assert raised.value is refused


async def test_closed_history_frees_its_admin_client(clients: WatchedClients) -> None:
    """It has one of its own."""
    history = KafkaHistory(clients)
    history.close()
    async with limited("the end of the client"):
        await until(lambda: len(clients.freed) == 1)


async def test_closed_admin_client_is_said_to_be(clients: WatchedClients) -> None:
    """A thread that still asks is told so."""
    admin = KafkaAdmin(clients)
    admin.close()
    admin.close()
    with pytest.raises(LogUnavailable, match="closed"):
        await asyncio.to_thread(admin.cluster)


async def test_failure_after_the_end_makes_no_other_client(clients: WatchedClients) -> None:
    """A call that was under way fails once the log is closed."""
    admin = RenewedAdminClient(clients, KafkaErrors(SETTINGS))
    silent = KafkaError(KafkaError._TRANSPORT)
    admin.failed(silent)
    admin.close()
    admin.failed(silent)
    with pytest.raises(LogUnavailable, match="closed"):
        _ = admin.live
    async with limited("the ends of the clients"):
        await until(lambda: len(clients.freed) == len(clients.made))


async def test_end_of_the_watch_for_brokers_does_not_block_the_loop() -> None:
    """Its thread can be waiting for an answer."""
    asked, may_answer, answered = threading.Event(), threading.Event(), threading.Event()

    class Silent(AdminClient):
        def list_topics(self, *_: Any, **__: Any) -> Any:
            asked.set()
            may_answer.wait(10)
            answered.set()

    class SilentClients(Clients):
        def admin(self, *_: Any) -> AdminClient:
            return Silent({"bootstrap.servers": "127.0.0.1:9", "log_level": 0})

    watching = asyncio.create_task(Connectivity(SilentClients(settings=SETTINGS)).run())
    async with limited("the watch"):
        await until(asked.is_set)
        watching.cancel()
        await asyncio.wait([watching])

    assert not answered.is_set()
    assert watching.cancelled()
    may_answer.set()
