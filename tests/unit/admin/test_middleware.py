"""Only operators can use the API, and the API never reveals secrets."""

import asyncio
import socket
from collections.abc import AsyncIterator
from types import SimpleNamespace

import pytest
from pydantic import SecretStr, ValidationError
from structlog.testing import capture_logs

from streamer.admin import serving_admin
from streamer.admin.server import LARGEST_BODY
from streamer.errors import ConfigurationError
from streamer.settings import AdminSettings
from tests.unit.admin.world import Asking, World
from tests.unit.dispatch.world import TARGET
from tests.waiting import awaited

TOKEN = "canary-token-of-the-admin-api"
PAUSE = f"/subscribers/{TARGET}/pause"


@pytest.fixture
async def locked() -> AsyncIterator[Asking]:
    """An API that wants a token."""
    async with World(token=SecretStr(TOKEN)).asking() as asking:
        yield asking


@pytest.mark.parametrize(
    "shown", ["", "Bearer", "Bearer wrong", f"Basic {TOKEN}", f"bearer {TOKEN}x", TOKEN, "Bearer ünlautet"]
)
async def test_nothing_is_told_without_the_token(locked: Asking, shown: str) -> None:
    """Nor is it said which part of it was right."""
    for path in ("/subscribers", "/none"):
        status, body = await locked.get(path, Authorization=shown)
        assert (status, "token" in body["error"], TOKEN in str(body)) == (401, True, False)


async def test_token_lets_in_whatever_the_host_is_called(locked: Asking) -> None:
    """It is reached from elsewhere, by a name that we do not know."""
    status, _ = await locked.get("/subscribers", Authorization=f"Bearer {TOKEN}", Host="streamer.acme.com")
    assert status == 200


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:9465", "127.0.0.1:1", "[::1]:9465", "[::1]"])
async def test_this_machine_needs_no_token(ask: Asking, host: str) -> None:
    """Where none is configured."""
    assert (await ask.get("/subscribers", Host=host))[0] == 200


@pytest.mark.parametrize(
    "host", ["attacker.example", "attacker.example:9465", "localhost.attacker.example", "10.0.0.1", "[", ""]
)
async def test_page_that_renames_itself_to_this_machine_is_refused(ask: Asking, host: str) -> None:
    """DNS rebinding leaves the attacker's name in the Host header."""
    status, body = await ask.get("/subscribers", Host=host)
    assert (status, "subscribers" in body) == (403, False)


@pytest.mark.parametrize("path", ["/subscribers", "/events", "/events/tail", "/none"])
async def test_page_of_another_site_keeps_nothing_busy(ask: Asking, path: str) -> None:
    """It reads no answer, but could make the daemon search its log, and take the places of the tails."""
    for site in ("cross-site", "same-site"):
        answer = await ask.get(path, **{"Sec-Fetch-Site": site, "Sec-Fetch-Mode": "no-cors"})
        assert answer == (403, {"error": "This request comes from a page of another site."})
    assert (await ask.get("/subscribers", **{"Sec-Fetch-Site": "none"}))[0] == 200


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""]
)
async def test_form_of_another_site_changes_nothing(world: World, ask: Asking, kind: str) -> None:
    """A browser sends these across sites without asking; JSON it must ask for, and nobody answers that."""
    status, _ = await ask.send("POST", PAUSE, data=b"{}", headers={"Content-Type": kind})
    preflight, _ = await ask.send("OPTIONS", PAUSE, headers={"Origin": "https://attacker.example"})

    assert (status, preflight) == (415, 415)
    assert not (await world.context.control_state()).controls


async def test_body_that_is_too_large_is_refused(world: World, ask: Asking) -> None:
    """Before it is in memory."""
    status, body = await ask.post(PAUSE, reason="x" * LARGEST_BODY)

    assert (status, body["error"]) == (413, "The request's body is too large.")
    assert not (await world.context.control_state()).controls


@pytest.mark.parametrize("raw", [b"{", b"[]", b'"x"', b'{"reason": "\\ud800"}', b"[" * 5_000, b"\xff"])
async def test_body_that_is_no_object_is_refused(ask: Asking, raw: bytes) -> None:
    """Whatever it is instead."""
    status, _ = await ask.send("POST", PAUSE, data=raw, headers={"Content-Type": "application/json"})
    assert status == 400


async def test_body_that_is_not_as_its_headers_say_is_refused(ask: Asking) -> None:
    """It is the client's mistake, and not Streamer's."""
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    status, body = await ask.send("POST", PAUSE, data=b"no gzip", headers=headers)

    assert (status, body["error"]) == (400, "The request's body does not match its headers.")


async def test_client_that_leaves_in_the_midst_of_a_body_is_no_failure(world: World) -> None:
    """Of ours, and no traceback."""
    head = "POST /dead-letters/redrive HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    with capture_logs() as logs:
        async with serving_admin(world.context, AdminSettings(port=0)) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(f"{head}Expect: 100-continue\r\nContent-Length: 9\r\n\r\n".encode())
            # The answer shows that the request is being handled.
            assert b"100" in await reader.readuntil(b"\r\n\r\n")
            writer.write(b"{")
            writer.write_eof()
            assert await reader.read() == b""
            writer.close()

    assert [each["event"] for each in logs] == ["admin.listening"]


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/x", 404), ("GET", PAUSE, 405)])
async def test_what_is_not_there_is_answered_with_a_sentence(
    ask: Asking, method: str, path: str, status: int
) -> None:
    """As everything is."""
    found, body = await ask.send(method, path)
    assert (found, body["error"].endswith(".")) == (status, True)


async def test_log_that_is_away_is_told(world: World, ask: Asking) -> None:
    """Nothing was done, and trying again helps."""
    world.log.faults.down = True
    for status, body in (await ask.post(PAUSE), await ask.get("/dead-letters"), await ask.get("/audit")):
        assert (status, body["error"]) == (503, "the log is down, because the test has set down = True")
    sent, _ = await ask.post(f"/subscribers/{TARGET}/test")
    assert (sent, world.tried.deliveries) == (503, [])


async def test_log_that_is_not_open_yet_is_told(world: World) -> None:
    """The API answers before the daemon has found its broker."""
    async with world.asking() as ask:
        world.context._log = None
        status, body = await ask.get("/subscribers")
    assert (status, "not open" in body["error"]) == (503, True)


async def test_log_that_does_not_tell_what_is_switched_is_not_waited_for(world: World, ask: Asking) -> None:
    """Whoever asks is answered within seconds."""
    silent = Silent()
    world.context._log = SimpleNamespace(controls=silent, processes=None)
    asked = asyncio.create_task(ask.get("/subscribers"))
    await awaited(silent.asked.wait())
    await world.clock.turn(6)

    assert (await asked)[0] == 503


async def test_mistake_of_our_own_is_logged_and_not_shown(world: World, ask: Asking) -> None:
    """Its text could hold a secret."""
    broken = Broken()
    world.context._log = SimpleNamespace(controls=broken, processes=None)
    with capture_logs() as logs:
        status, body = await ask.get("/audit")

    assert (status, "canary" in str(body)) == (500, False)
    assert [each["event"] for each in logs] == ["admin.failed"]
    assert broken.was_asked


async def test_no_secret_of_the_configuration_is_shown(world: World, ask: Asking) -> None:
    """Neither of the org nor of a plugin."""
    await world.fail(1)
    for path in ("/subscribers", "/dead-letters", "/dead-letters/1:target", "/redrives", "/audit"):
        status, body = await ask.get(path)
        assert (status, "canary" in str(body)) == (200, False)


@pytest.mark.parametrize("token", [None, "short"])
def test_other_machines_need_a_token_that_can_not_be_guessed(token: str | None) -> None:
    """The configuration is refused otherwise."""
    with pytest.raises(ValidationError):
        AdminSettings.model_validate({"host": "0.0.0.0", "token": token})
    assert AdminSettings.model_validate({"host": "0.0.0.0", "token": TOKEN}).token
    assert AdminSettings.model_validate({"host": "::1"}).token is None


async def test_address_that_is_taken_is_named(world: World) -> None:
    """With the key to change."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        settings = AdminSettings(port=taken.getsockname()[1])
        with pytest.raises(ConfigurationError, match=r"choose another admin\.port or admin\.host"):
            async with serving_admin(world.context, settings):
                pass


async def test_port_is_told_and_null_switches_the_api_off(world: World) -> None:
    """Port 0 takes a free one."""
    with capture_logs() as logs:
        async with serving_admin(world.context, AdminSettings(port=0)) as port:
            assert port
        async with serving_admin(world.context, None) as none:
            assert none == 0

    assert [(each["event"], each["port"]) for each in logs] == [("admin.listening", port)]


class Silent:
    """Controls that never tell what is switched."""

    def __init__(self) -> None:
        """Wait for somebody to ask."""
        self.asked = asyncio.Event()

    async def switched(self) -> AsyncIterator[None]:
        """Wait."""
        self.asked.set()
        await asyncio.Event().wait()
        yield


class Broken:
    """Controls with a mistake."""

    was_asked = False

    async def audit(self, *, last: int) -> None:
        """Raise what shows a secret."""
        self.was_asked = True
        raise ZeroDivisionError(f"canary {last}")
