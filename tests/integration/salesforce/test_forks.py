"""Processes that are forked beside an open Subscribe stream, as a plugin may fork them."""

import os
import subprocess
import sys

from tests.waiting import LIMIT_S

_FORKS = 40

# gRPC's threads are busy with a stream while the children begin.
_PROGRAM = f"""
import asyncio, subprocess
from streamer.clock import SystemClock
from streamer.sandbox import Sandbox
from tests.integration.sandbox.pubsub.client import Client
from tests.integration.sandbox.pubsub.conftest import metadata
import grpc.aio

async def main():
    async with Sandbox(SystemClock(), pubsub_port=0) as sandbox:
        async with grpc.aio.insecure_channel(sandbox.pubsub_address) as channel:
            client = Client(channel=channel, metadata=metadata(sandbox))
            await client.subscribe("/data/AccountChangeEvent")
            for number in range({_FORKS}):
                with sandbox.org.transaction() as transaction:
                    transaction.create("Account", dict(Name=str(number)))
                # A function to call before the program begins makes it a fork, and not a vfork.
                process = await asyncio.create_subprocess_exec("/bin/true", preexec_fn=lambda: None)
                if await process.wait():
                    raise SystemExit(f"child {{number}} ended with {{process.returncode}}")

asyncio.run(main())
"""


def test_a_forked_process_is_left_alone() -> None:
    """By gRPC, whose own handling of forks crashes one in four."""
    environ = {key: value for key, value in os.environ.items() if not key.startswith("GRPC_")}
    ended = subprocess.run(
        [sys.executable, "-c", _PROGRAM],
        env=environ,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
