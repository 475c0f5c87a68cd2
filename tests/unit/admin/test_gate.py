"""The reader's token, the operator's token, and clients that guess tokens."""

import asyncio
from contextlib import nullcontext
from typing import cast

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from pydantic import SecretStr, ValidationError
from structlog.testing import capture_logs

from streamer.admin.gate import AccessRight, Gate, WrongTokens
from streamer.admin.schemas import ApiError
from streamer.clock import TurnedClock
from streamer.settings import AdminSettings
from tests.unit.admin.world import World
from tests.unit.dispatch.world import TARGET

TOKEN = "canary-token-of-the-operator"
READER = "canary-token-of-the-reader"


def _request(shown: str, peer: str = "192.0.2.1") -> web.Request:
    connection = cast("asyncio.Transport", _Transport(peer))
    return make_mocked_request("GET", "/", headers={"Authorization": f"Bearer {shown}"}, transport=connection)


class _Transport:
    """A connection of a peer."""

    def __init__(self, peer: str) -> None:
        """Come from `peer`."""
        self._peer = peer

    def get_extra_info(self, name: str, default: object = None) -> object:
        """Return its address."""
        return (self._peer, 1) if name == "peername" else default


def _has_to_wait(gate: Gate) -> bool:
    try:
        gate.wrong_tokens.check("192.0.2.1")
    except ApiError as error:
        return error.status == 429
    return False


def _gate(clock: TurnedClock) -> Gate:
    return Gate(token=SecretStr(TOKEN), reader=SecretStr(READER), wrong_tokens=WrongTokens(clock=clock))


async def test_reader_looks_and_changes_nothing() -> None:
    """The operator's token opens both."""
    async with World(token=SecretStr(TOKEN), reader=SecretStr(READER)).asking() as ask:
        reading = {"Authorization": f"Bearer {READER}"}
        operating = {"Authorization": f"Bearer {TOKEN}"}
        for headers in (reading, operating):
            assert (await ask.get("/subscribers", **headers))[0] == 200
        path = f"/subscribers/{TARGET}/pause"
        pause = {"by": "ann", "reason": "maintenance"}
        refused, body = await ask.send("POST", path, json=pause, headers=reading)
        done, _ = await ask.send("POST", path, json=pause, headers=operating)

    assert (refused, done) == (403, 200)
    assert "admin.token" in body["error"]


async def test_guessing_peer_waits_longer_each_time() -> None:
    """Five wrong tokens are mistakes; those after that wait, up to a minute."""
    clock = TurnedClock()
    gate = _gate(clock)
    waits = []
    for number in range(14):
        assert gate.right_of(_request(f"guess-{number}")) is None
        waits.append(0)
        while _has_to_wait(gate):
            await clock.turn(1.0)
            waits[-1] += 1

    assert waits == [0, 0, 0, 0, 1, 2, 4, 8, 16, 32, 60, 60, 60, 60]


async def test_peer_that_waits_is_not_told_whether_a_token_is_right() -> None:
    """And another peer is let in meanwhile."""
    gate = _gate(TurnedClock())
    for number in range(5):
        gate.right_of(_request(f"guess-{number}"))

    with pytest.raises(ApiError, match=r"wait 1 s"):
        gate.right_of(_request(TOKEN))
    assert gate.right_of(_request(TOKEN, "192.0.2.2")) is AccessRight.CHANGE


async def test_right_token_ends_the_count() -> None:
    """An operator who mistyped it begins again with five."""
    gate = _gate(TurnedClock())
    for _ in range(3):
        for number in range(4):
            assert gate.right_of(_request(f"guess-{number}")) is None
        assert gate.right_of(_request(READER)) is AccessRight.READ


async def test_addresses_of_one_network_are_one_peer() -> None:
    """A server has a whole /64 of IPv6."""
    gate = _gate(TurnedClock())
    for number in range(5):
        gate.right_of(_request("guess", f"2001:db8::{number:x}"))

    with pytest.raises(ApiError):
        gate.right_of(_request("guess", "2001:db8::ffff"))


async def test_many_peers_take_a_bounded_memory() -> None:
    """Those that were seen longest ago are forgotten."""
    wrong = WrongTokens(clock=TurnedClock())
    for number in range(5_000):
        wrong.wrong(f"10.0.{number // 250}.{number % 250}")

    assert len(wrong._peers) == 1_000


async def test_flood_is_one_log_line_and_then_a_count_a_minute() -> None:
    """No token is in it."""
    clock = TurnedClock()
    gate = _gate(clock)
    with capture_logs() as lines:
        for number in range(500):
            with pytest.raises(ApiError) if number >= 5 else nullcontext():
                gate.right_of(_request(f"guess-{number}"))
        await clock.turn(61)
        gate.right_of(_request("guess"))

    assert [(line["event"], line["attempts"]) for line in lines] == [
        ("admin.token_refused", 1),
        ("admin.token_refused", 500),
    ]
    assert "guess" not in str(lines)


def test_reader_needs_an_operator_with_another_token() -> None:
    """Otherwise everybody, or every reader, could change things."""
    with pytest.raises(ValidationError, match="reader_token"):
        AdminSettings.model_validate({"reader_token": "x" * 16})
    with pytest.raises(ValidationError, match="reader_token"):
        AdminSettings.model_validate({"token": "x" * 16, "reader_token": "x" * 16})
