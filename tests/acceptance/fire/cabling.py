"""The brokers of the bench, and the proxies through which each daemon reaches them."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tools.kafka.broker import Broker
from tools.kafka.cluster import Cluster
from tools.proxy import TcpProxy

# A sole broker that is frozen for longer than its session takes its partitions from
# itself, and can then leave a transaction undecided for good. This is Kafka's default;
# nodes of tests have shorter sessions, so that others take over soon.
_OWN_SESSION = {"broker.session.timeout.ms": "9000"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Cable:
    """One daemon's way to all brokers; `bootstrap` is the end that it holds."""

    bootstrap: str
    strands: Sequence[TcpProxy]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kafka:
    """One broker or several; `bootstrap` is the way around all cables."""

    bootstrap: str
    brokers: Sequence[Broker]
    cables: Sequence[Cable]

    def delay(self, seconds: float) -> None:
        """Let everything take so long on its way through the cables."""
        for cable in self.cables:
            for strand in cable.strands:
                strand.delay_s = seconds

    def keep(self, directory: Path) -> None:
        """Copy data and output of every broker to `directory`: they show what each replica holds."""
        for broker in self.brokers:
            # A running broker removes files at any moment.
            with suppress(shutil.Error):
                shutil.copytree(broker.folder, directory / f"broker-{broker.node}")


@asynccontextmanager
async def kafka(*, brokers: int, cables: int) -> AsyncIterator[Kafka]:
    """Run so many brokers and cables inside the context; several brokers make a cluster."""
    running = (
        Broker(proxied=cables, settings=_OWN_SESSION) if brokers == 1 else Cluster(brokers, proxied=cables)
    )
    async with AsyncExitStack() as stack:
        stack.push_async_callback(asyncio.to_thread, running.stop)
        await asyncio.to_thread(running.start)
        nodes = running.nodes if isinstance(running, Cluster) else [running]
        yield Kafka(
            bootstrap=running.bootstrap,
            brokers=nodes,
            cables=[await _cable(stack, nodes, number) for number in range(cables)],
        )


async def _cable(stack: AsyncExitStack, nodes: Sequence[Broker], number: int) -> Cable:
    listeners = [node.proxied[number] for node in nodes]
    strands = [TcpProxy(listener.port, port=listener.proxy_port) for listener in listeners]
    for strand in strands:
        await stack.enter_async_context(strand)
    return Cable(bootstrap=",".join(listener.bootstrap for listener in listeners), strands=strands)
