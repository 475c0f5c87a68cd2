"""The programs that carry an org's changes into Kafka, each as a process with topics of its own."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from streamer.settings import Transport
from tests.bench.ingest.org import Org
from tests.bench.processes import running
from tests.configuration import CHANGES, over_pubsub, sandbox_configuration, written
from tests.daemon import Daemon

Relay = Callable[[Org, str, str], AbstractAsyncContextManager[int]]
"""Runs one inside the context, on the org, the broker and the prefix given, and gives its process id."""


def event_topic(prefix: str) -> str:
    """Return the topic to which both write the changes of accounts."""
    return f"{prefix}.cdc.Account"


def checkpoint_topic(prefix: str) -> str:
    """Return the topic to which both write a checkpoint with each transaction."""
    return f"{prefix}.checkpoints"


@asynccontextmanager
async def streamer(
    org: Org,
    kafka: str,
    prefix: str,
    *,
    transport: Transport = Transport.COMETD,
    log: Mapping[str, Any] | None = None,
) -> AsyncIterator[int]:
    """Run Streamer, which reads from the beginning of what the org retains; `log` adds to `log.kafka`."""
    own = {"bootstrap_servers": kafka, "prefix": prefix, "topic": f"{prefix}.{{kind}}.{{name}}"}
    configuration = sandbox_configuration(org.url, log={"kafka": own | dict(log or {})})
    configuration["channels"] = [{"path": CHANGES, "start": "earliest"}]
    if transport is Transport.PUBSUB:
        configuration = over_pubsub(configuration, org.pubsub)
    with TemporaryDirectory(prefix="streamer-bench-") as directory:
        path = written(Path(directory), configuration)
        async with Daemon.running(path, "--role", "ingest") as daemon:
            yield daemon.pid
            assert await daemon.stop() == 0, daemon.output


def bare_probe(org: Org, kafka: str, prefix: str) -> AbstractAsyncContextManager[int]:
    """Run the bare probe of CometD, which does the same and writes the very same records."""
    return running("tests.bench.ingest.bare_probe", org.url, kafka, prefix)


def receiving_probe(org: Org) -> AbstractAsyncContextManager[int]:
    """Run the probe of the Pub/Sub API that receives and decodes, and writes nothing."""
    return running("tests.bench.ingest.pubsub_probe", org.url, org.pubsub)


def writing_probe(org: Org, kafka: str, prefix: str, *, events: int) -> AbstractAsyncContextManager[int]:
    """Run the probe of the Pub/Sub API that writes the very same records of so many events."""
    module = "tests.bench.ingest.pubsub_probe"
    return running(module, org.url, org.pubsub, str(events), kafka, prefix)
