"""The broker that tests, benchmarks and the demo start."""

import asyncio
import os
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from confluent_kafka import Consumer, KafkaError, Producer
from confluent_kafka.admin import AdminClient

from tests.waiting import LIMIT_S, awaited, block_until
from tools.kafka.broker import Broker
from tools.proxy import TcpProxy

_STARTER = """
from tools.kafka.broker import Broker
broker = Broker()
broker.start()
print(broker.pid, broker.folder, flush=True)
input()
"""


def test_broker_ends_with_whoever_started_it() -> None:
    """A killed test run leaves no server and no data behind."""
    with subprocess.Popen(
        [sys.executable, "-c", _STARTER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as starter:
        assert starter.stdout is not None
        pid, folder = starter.stdout.readline().split()
        starter.kill()

    block_until(lambda: not (Path(folder).exists() or _runs(pid)))


def _runs(pid: str) -> bool:
    """Return whether a process does more than wait to be reaped."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except FileNotFoundError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


async def test_command_runs_on_a_broker_that_is_there_already(kafka: str) -> None:
    """A machine with its own Kafka needs no Java, and the command's status is passed on."""
    command = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tools.kafka.broker", "exec", "--"),
        *("sh", "-c", "echo $STREAMER_KAFKA; exit 3"),
        env=os.environ | {"STREAMER_KAFKA": kafka},
        stdout=asyncio.subprocess.PIPE,
    )
    said, _ = await awaited(command.communicate())

    assert said.decode().strip() == kafka
    assert command.returncode == 3


def test_two_brokers_never_share_a_port() -> None:
    """Test runs beside each other do not meet."""
    assert Broker().bootstrap != Broker().bootstrap


@pytest.fixture(scope="module")
def proxied() -> Iterator[Broker]:
    """A broker with a way in that leads through a proxy."""
    with Broker(proxied=1) as broker:
        yield broker


@pytest.fixture
async def proxy(proxied: Broker) -> AsyncIterator[TcpProxy]:
    """The proxy in front of it."""
    (listener,) = proxied.proxied
    async with TcpProxy(listener.port, port=listener.proxy_port) as proxy:
        yield proxy


def _written(address: str, *, within_s: float = 30) -> bool:
    """Write a record to a topic, and return whether the broker has confirmed it."""
    outcomes: list[KafkaError | None] = []
    producer = Producer({"bootstrap.servers": address, "message.timeout.ms": within_s * 1000, "log_level": 0})
    producer.produce("through-proxy", b"x", on_delivery=lambda error, _: outcomes.append(error))
    producer.flush(within_s + 10)
    return [error is None for error in outcomes] == [True]


def _read(address: str) -> bytes | None:
    settings = {"bootstrap.servers": address, "group.id": uuid.uuid4().hex, "auto.offset.reset": "earliest"}
    with closing(Consumer(settings)) as consumer:
        consumer.subscribe(["through-proxy"])
        record = consumer.poll(60)
        return record.value() if record else None


async def test_client_that_comes_through_the_proxy_stays_there(proxied: Broker, proxy: TcpProxy) -> None:
    """The broker names no address but the proxy's, so a cut of its line cuts the client off."""
    (listener,) = proxied.proxied
    admin = AdminClient({"bootstrap.servers": proxy.address})
    told = (await asyncio.to_thread(admin.list_topics, timeout=LIMIT_S)).brokers.values()
    assert [f"{node.host}:{node.port}" for node in told] == [listener.bootstrap]

    assert await asyncio.to_thread(_written, proxy.address)
    assert await asyncio.to_thread(_read, proxy.address) == b"x"


async def test_client_fails_while_its_line_is_cut_and_goes_on_once_mended(
    proxied: Broker, proxy: TcpProxy
) -> None:
    """The broker itself is well all the time, as its other listener shows."""
    proxy.reset()
    assert not await asyncio.to_thread(_written, proxy.address, within_s=1)
    assert await asyncio.to_thread(_written, proxied.bootstrap)

    proxy.mend()
    assert await asyncio.to_thread(_written, proxy.address)
