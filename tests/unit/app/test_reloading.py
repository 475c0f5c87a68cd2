"""A changed configuration is applied, and the log says so."""

import asyncio

from prometheus_client import generate_latest
from structlog.testing import capture_logs

from streamer.app.plan import Plan
from streamer.app.reloading import ConfigurationFiles, Reloading
from streamer.clock import TurnedClock
from streamer.configuration import Document
from streamer.observe.metrics import Metrics
from streamer.salesforce.auth.flows import Logins
from tests.unit.app.test_dispatching import World


async def test_refusal_while_it_is_being_applied_stands() -> None:
    """Salesforce may refuse the new login before the audit has a record of the configuration."""
    clock = TurnedClock()
    metrics = Metrics(clock=clock)
    refused = asyncio.Event()

    async def apply(_: Plan) -> None:
        metrics.process.configuration_refused()
        refused.set()

    document = World().plan().document
    reloading = Reloading(
        files=ConfigurationFiles(document=document, read=lambda: document),
        apply=apply,
        clock=clock,
        metrics=metrics.process,
        logins=Logins(clock),
    )
    running = asyncio.create_task(reloading.run())
    reloading.request()
    await refused.wait()
    await asyncio.sleep(0)
    running.cancel()

    assert b"streamer_configuration_applied 0.0" in generate_latest(metrics.registry)


async def test_check_that_fails_unexpectedly_leaves_the_former_one_in_effect() -> None:
    """A mistake of a plugin's or ours must not end what works, and is not said every two seconds."""
    clock = TurnedClock()
    metrics = Metrics(clock=clock)
    applied: list[Plan] = []

    def read() -> Document:
        raise KeyError("hunter2")

    async def apply(plan: Plan) -> None:
        applied.append(plan)

    document = World().plan().document
    reloading = Reloading(
        files=ConfigurationFiles(document=document, read=read),
        apply=apply,
        clock=clock,
        metrics=metrics.process,
        logins=Logins(clock),
    )
    with capture_logs() as logs:
        running = asyncio.create_task(reloading.run())
        reloading.request()
        for _ in range(4):
            await reloaded(clock, reloading)
        assert not running.done()
        running.cancel()

    [line] = logs
    assert (line["event"], line["log_level"]) == ("configuration.refused", "error")
    assert line["reason"] == "the check of the files raised KeyError"
    assert applied == []
    assert b"streamer_configuration_applied 0.0" in generate_latest(metrics.registry)


async def test_restored_configuration_is_logged() -> None:
    """Whoever saw the refusal has to see that it is over."""
    clock = TurnedClock()
    document = World().plan().document
    readings = iter([Document(data={}), document, document])

    async def apply(_: Plan) -> None: ...

    reloading = Reloading(
        files=ConfigurationFiles(document=document, read=lambda: next(readings)),
        apply=apply,
        clock=clock,
        metrics=Metrics(clock=clock).process,
        logins=Logins(clock),
    )
    with capture_logs() as logs:
        running = asyncio.create_task(reloading.run())
        for _ in range(3):
            reloading.request()
            await reloaded(clock, reloading)
        running.cancel()

    assert [line["event"] for line in logs] == ["configuration.refused", "configuration.restored"]


async def reloaded(clock: TurnedClock, reloading: Reloading) -> None:
    """Let the files be looked at once, which happens in a thread."""
    await clock.turn(2)
    for _ in range(20):
        await asyncio.to_thread(lambda: None)
        await asyncio.sleep(0)
    assert not reloading._asked.is_set()
