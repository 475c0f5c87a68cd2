"""A target's faults become outcomes, never exceptions."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from streamer.clock import TurnedClock
from streamer.errors import ConfigurationError
from streamer.events import Delivered, FailureClass, Hold, Reject, Retry
from streamer.sandbox.targets import ErpReceiver, MalformedAnswer
from streamer.web.proxy import _proxy_of
from subscribers.erp import Erp
from tests.deliveries import context, delivery
from tests.waiting import limited, turned


@asynccontextmanager
async def plugin_for(url: str, clock: TurnedClock, **settings: object) -> AsyncIterator[Erp]:
    """Open an ERP subscriber that delivers to `url`."""
    async with Erp(Erp.Settings.model_validate({"url": url, **settings}), context(clock)) as plugin:
        yield plugin


@pytest.mark.parametrize("malformed_answer", MalformedAnswer)
async def test_malformed_answer_with_status_200_is_tried_again(
    erp: ErpReceiver, clock: TurnedClock, malformed_answer: MalformedAnswer
) -> None:
    """A login page does not count as a confirmation, and a huge body is not held in memory."""
    erp.faults.malformed_answer = malformed_answer
    async with plugin_for(f"{erp.url}/api/invoices", clock) as plugin:
        outcome = await plugin.deliver(delivery())

    assert isinstance(outcome, Retry)
    assert len(outcome.answer.encode()) <= 20_000


async def test_malformed_answer_can_be_allowed(erp: ErpReceiver, clock: TurnedClock) -> None:
    """`answer: any` is for targets that confirm in their own words."""
    erp.faults.malformed_answer = MalformedAnswer.HTML
    async with plugin_for(f"{erp.url}/api/invoices", clock, answer="any") as plugin:
        assert await plugin.deliver(delivery()) == Delivered()


async def test_target_that_hangs_up_is_tried_again(erp: ErpReceiver, clock: TurnedClock) -> None:
    """A closed connection says nothing about the event."""
    erp.faults.down = True
    async with plugin_for(f"{erp.url}/api/invoices", clock) as plugin:
        outcome = await plugin.deliver(delivery())
        erp.faults.down = False
        assert isinstance(await plugin.deliver(delivery()), Delivered)

    assert isinstance(outcome, Retry)


async def test_target_that_is_not_there_is_tried_again(clock: TurnedClock) -> None:
    """A refused connection is named with its host and port."""
    async with plugin_for("http://localhost:1/api", clock) as plugin:
        outcome = await plugin.deliver(delivery())

    assert isinstance(outcome, Retry)
    assert outcome.reason == "can't connect to localhost:1: Connection refused"


async def test_proxy_that_is_not_there_is_named(
    clock: TurnedClock, erp: ErpReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is the proxy, not the target, that an operator has to look at."""
    monkeypatch.setenv("HTTP_PROXY", "http://ann:s3same@localhost:1")
    _proxy_of.cache_clear()
    async with plugin_for(f"{erp.url}/api/invoices", clock) as plugin:
        outcome = await plugin.deliver(delivery())
    _proxy_of.cache_clear()

    assert isinstance(outcome, Retry)
    assert outcome.reason.startswith("the proxy localhost:1 can't be reached")
    assert outcome.reason.endswith("check that the proxy runs, and the proxy's address in HTTP_PROXY")


async def test_target_without_a_name_is_tried_again(clock: TurnedClock) -> None:
    """A name that resolves to nothing may resolve later."""
    async with plugin_for("https://target.invalid/api", clock) as plugin:
        outcome = await plugin.deliver(delivery())

    assert isinstance(outcome, Retry)
    assert outcome.reason == "the name target.invalid can't be resolved"
    assert outcome.failure is FailureClass.CONNECTION
    assert outcome.exchange is not None
    assert outcome.exchange.status is None


async def test_slow_target_times_out(erp: ErpReceiver, clock: TurnedClock) -> None:
    """A request that takes longer than `timeout_s` is retried."""
    erp.faults.slow_s = 60.0
    async with plugin_for(f"{erp.url}/api/invoices", clock, timeout_s=5.0) as plugin:
        attempt = asyncio.create_task(plugin.deliver(delivery()))
        await turned(clock, attempt.done, step_s=1.0)

    outcome = attempt.result()
    assert isinstance(outcome, Retry)
    assert "gave no answer within 5 s" in outcome.reason
    assert outcome.failure is FailureClass.TIMEOUT


async def test_answer_that_is_not_http_is_tried_again(clock: TurnedClock) -> None:
    """A server that speaks another protocol does not crash the subscriber."""

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(b"220 mail.example.com ESMTP\r\n")
        writer.close()

    server = await asyncio.start_server(speak, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, plugin_for(f"http://localhost:{port}/api", clock) as plugin:
        outcome = await plugin.deliver(delivery())

    assert isinstance(outcome, Retry)


async def test_endless_answer_is_not_read_to_its_end(clock: TurnedClock) -> None:
    """A target can't fill our memory; the attempt ends once enough has come."""

    async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
        with suppress(ConnectionError):
            while True:
                writer.write(b"x" * 65_536)
                await writer.drain()

    server = await asyncio.start_server(babble, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, plugin_for(f"http://localhost:{port}/api", clock) as plugin, limited("the outcome"):
        assert isinstance(await plugin.deliver(delivery()), Retry)


async def test_plain_server_behind_https_is_tried_again(erp: ErpReceiver, clock: TurnedClock) -> None:
    """A failed TLS handshake is an outcome as well."""
    async with plugin_for(erp.url.replace("http:", "https:"), clock) as plugin:
        assert isinstance(await plugin.deliver(delivery()), Retry)


async def test_busy_target_is_held(erp: ErpReceiver, clock: TurnedClock) -> None:
    """A pause that the target asks for is for everyone, and costs no attempt."""
    erp.faults.retry_after = "30"
    async with plugin_for(f"{erp.url}/api/invoices", clock) as plugin:
        outcome = await plugin.deliver(delivery())

    assert isinstance(outcome, Hold)
    assert outcome.after_s == 30.0


async def test_some_keys_fail_alone(erp: ErpReceiver, clock: TurnedClock) -> None:
    """The receiver can refuse one key and take the others."""
    erp.faults.fail_keys, erp.faults.fail_status = "^bad", 422
    async with plugin_for(f"{erp.url}/api/invoices", clock) as plugin:
        outcomes = [await plugin.deliver(delivery(key=key)) for key in ("good", "bad")]

    assert [type(outcome) for outcome in outcomes] == [Delivered, Reject]


async def test_redirect_is_not_followed(erp: ErpReceiver, clock: TurnedClock) -> None:
    """Neither the event nor our credentials go where a target points to."""
    erp.faults.fail_keys, erp.faults.fail_status = ".", 307
    async with plugin_for(f"{erp.url}/api/invoices", clock) as plugin:
        outcome = await plugin.deliver(delivery())

    assert isinstance(outcome, Reject)
    assert outcome.hint == "redirects are not followed: set url to the final address"
    assert len(erp.journal) == 1


async def test_unusable_certificate_is_a_configuration_error(clock: TurnedClock) -> None:
    """The sentence names the file, before anything is delivered."""
    with pytest.raises(ConfigurationError, match=r"ca_file /nowhere/ca\.pem can't be read"):
        async with plugin_for("https://localhost/api", clock, ca_file="/nowhere/ca.pem"):
            pass
