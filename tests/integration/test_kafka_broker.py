"""The broker that tests, benchmarks and the demo start."""

import asyncio
import os
import subprocess
import sys
import time
from pathlib import Path

from tools.kafka.broker import Broker

_STARTER = """
from tools.kafka.broker import Broker
broker = Broker()
broker.start()
print(broker.pid, broker.folder, flush=True)
input()
"""


def test_broker_ends_with_whoever_started_it() -> None:
    """A test run that is killed leaves no server and no data behind."""
    with subprocess.Popen(
        [sys.executable, "-c", _STARTER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as starter:
        assert starter.stdout is not None
        pid, folder = starter.stdout.readline().split()
        starter.kill()

    deadline = time.monotonic() + 10
    while Path(folder).exists() or _runs(pid):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def _runs(pid: str) -> bool:
    """Tell whether a process does more than wait to be reaped by whoever inherited it."""
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
    said, _ = await asyncio.wait_for(command.communicate(), 30)

    assert said.decode().strip() == kafka
    assert command.returncode == 3


def test_two_brokers_never_share_a_port() -> None:
    """Test runs beside each other do not meet."""
    assert Broker().bootstrap != Broker().bootstrap
