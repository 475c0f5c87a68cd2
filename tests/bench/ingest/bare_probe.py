"""The least code that can read a channel and write the same records as Streamer.

`python -m tests.bench.ingest.bare_probe URL KAFKA PREFIX` reads all changes of the
org at URL until it is interrupted. It uses no code of Streamer, checks nothing and
repairs nothing. So the additional cost of Streamer is the cost of its promises.
"""

import sys
from typing import Any

import aiohttp
import orjson

from tests.bench.ingest.probe_process import logged_in, run
from tests.bench.ingest.probe_records import CHANNEL, ProbeRecords


async def drain(url: str, kafka: str, prefix: str) -> None:
    """Carry what comes from the channel's beginning, a transaction a response."""
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as http:
        token, org = await logged_in(http, url)
        records = ProbeRecords(kafka, prefix, org)
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}

        async def ask(channel: str, **more: Any) -> list[dict[str, Any]]:
            body = orjson.dumps([{"channel": channel, **more}])
            async with http.post(f"{url}/cometd/64.0", data=body, headers=headers) as response:
                return list(orjson.loads(await response.read()))

        offer = {"version": "1.0", "supportedConnectionTypes": ["long-polling"], "ext": {"replay": True}}
        [hello] = await ask("/meta/handshake", **offer)
        client = {"clientId": hello["clientId"]}
        await ask("/meta/subscribe", subscription=CHANNEL, ext={"replay": {CHANNEL: -2}}, **client)
        try:
            while True:
                answer = await ask("/meta/connect", connectionType="long-polling", **client)
                if events := [message["data"] for message in answer if message["channel"] == CHANNEL]:
                    _commit(events, records)
        finally:
            await ask("/meta/disconnect", **client)


def _commit(events: list[dict[str, Any]], records: ProbeRecords) -> None:
    records.begin()
    for event in events:
        fields = event["payload"]
        header = fields.pop("ChangeEventHeader")
        replay_id = str(event["event"]["replayId"])
        records.produce(header, fields, replay_id)
    records.commit(header, replay_id, str(events[-2]["event"]["replayId"]))


if __name__ == "__main__":
    run(drain(*sys.argv[1:]))
