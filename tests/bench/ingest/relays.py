"""The two programs that carry an org's changes into Kafka, each as a process with topics of its own."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.bench.processes import running
from tests.configuration import CHANGES, sandbox_configuration, written
from tests.daemon import Daemon

Relay = Callable[[str, str, str], AbstractAsyncContextManager[int]]
"""Runs one inside the context, on the org, the broker and the prefix given, and gives its process id."""


def event_topic(prefix: str) -> str:
    """Return the topic to which both write the changes of accounts."""
    return f"{prefix}.cdc.Account"


def checkpoint_topic(prefix: str) -> str:
    """Return the topic to which both write a checkpoint with each transaction."""
    return f"{prefix}.checkpoints"


@asynccontextmanager
async def streamer(org: str, kafka: str, prefix: str) -> AsyncIterator[int]:
    """Run Streamer, which reads from the beginning of what the org retains."""
    log = {"bootstrap_servers": kafka, "prefix": prefix, "topic": f"{prefix}.{{kind}}.{{name}}"}
    configuration = sandbox_configuration(org, log={"kafka": log})
    configuration["channels"] = [{"path": CHANGES, "start": "earliest"}]
    with TemporaryDirectory(prefix="streamer-bench-") as directory:
        path = written(Path(directory), configuration)
        async with Daemon.running(path, "--role", "ingest") as daemon:
            yield daemon.pid
            assert await daemon.stop() == 0, daemon.output


def bare_probe(org: str, kafka: str, prefix: str) -> AbstractAsyncContextManager[int]:
    """Run the bare probe, which does the same and writes the very same records."""
    return running("tests.bench.ingest.bare_probe", org, kafka, prefix)
