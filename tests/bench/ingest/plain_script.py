"""What one would write without Streamer: aiocometd-ng, and `send_and_wait` of aiokafka for each event.

`python -m tests.bench.ingest.plain_script URL KAFKA TOPIC COUNT` prints what it used as JSON.
"""

import asyncio
import json
import resource
import sys
import time
from typing import Any

import aiohttp
from aiocometd_ng.client import Client
from aiocometd_ng.constants import ConnectionType
from aiocometd_ng.extensions import AuthExtension
from aiokafka import AIOKafkaProducer

from tests.configuration import CHANGES

_ALL_RETAINED = -2


class Token(AuthExtension):
    """Adds the token to each request, and the replay id to subscriptions."""

    def __init__(self, token: str) -> None:
        """Show `token`."""
        self._token = token

    async def outgoing(self, payload: list[dict[str, Any]], headers: dict[str, str]) -> None:
        """Complete what is sent."""
        headers["Authorization"] = f"Bearer {self._token}"
        for message in payload:
            if message["channel"] == "/meta/subscribe":
                message["ext"] = {"replay": {message["subscription"]: _ALL_RETAINED}}

    async def incoming(self, payload: list[dict[str, Any]], _: dict[str, str] | None = None) -> None:
        """Leave what comes as it is."""

    async def authenticate(self) -> None:
        """The token is good for the whole run."""


async def relay(url: str, kafka: str, topic: str, count: int) -> dict[str, float]:
    """Relay `count` events one by one; return its CPU and time, connecting left out."""
    client = Client(
        f"{url}/cometd/64.0",
        connection_types=ConnectionType.LONG_POLLING,
        extensions=[Token(await _token(url))],
        connection_timeout=30,
        max_pending_count=10_000,
    )
    async with AIOKafkaProducer(bootstrap_servers=kafka, enable_idempotence=True) as producer, client:
        await producer.send_and_wait(f"{topic}.ready", b"")
        began, used = time.perf_counter(), _cpu_s()
        await client.subscribe(CHANGES)
        done = 0
        async for message in client:
            data = message["data"]
            record_id = data["payload"]["ChangeEventHeader"]["recordIds"][0]
            value = json.dumps(data).encode()
            await producer.send_and_wait(topic, value, key=record_id.encode())
            done += 1
            if done == count:
                break
        used = _cpu_s() - used
        return {"cpu_us_per_event": used / count * 1e6, "events_per_s": count / (time.perf_counter() - began)}


async def _token(url: str) -> str:
    form = {
        "grant_type": "client_credentials",
        "client_id": "sandbox",
        "client_secret": "sandbox-secret",
    }
    async with (
        aiohttp.ClientSession() as http,
        http.post(f"{url}/services/oauth2/token", data=form) as response,
    ):
        return str((await response.json())["access_token"])


def _cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    _, org, address, name, number = sys.argv
    print(json.dumps(asyncio.run(relay(org, address, name, int(number)))))  # noqa: T201 - its result
