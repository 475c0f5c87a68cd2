"""The least that can drain a channel into the very records that Streamer writes.

`python -m tests.bench.ingest.bare_probe URL KAFKA PREFIX` reads all changes of
the org at URL until it is interrupted. It knows nothing of Streamer, checks nothing
and mends nothing: whatever Streamer costs beyond it is the price of its promises.
"""

import asyncio
import gc
import sys
import time
from contextlib import suppress
from functools import lru_cache
from typing import Any

import aiohttp
import orjson
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined] # public, not marked so

_CHANNEL = "/data/ChangeEvents"
_LOGIN = {"grant_type": "client_credentials", "client_id": "sandbox", "client_secret": "sandbox-secret"}
_KINDS = {"CREATE": "created", "UPDATE": "updated", "DELETE": "deleted", "UNDELETE": "undeleted"}
_TOPIC = {"max.message.bytes": str(4 * 1024 * 1024)}
_PRODUCER = {
    "compression.type": "lz4",
    "linger.ms": 5,
    "batch.size": 1_000_000,
    "partitioner": "murmur2_random",
    "message.max.bytes": 4 * 1024 * 1024,
    "queue.buffering.max.messages": 0,
    "queue.buffering.max.kbytes": 2**31 - 1,
    "delivery.report.only.error": True,
}


async def drain(url: str, kafka: str, prefix: str) -> None:
    """Carry what comes from the channel's beginning, a transaction a response."""
    producer = _producer(kafka, prefix)
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as http:
        async with http.post(f"{url}/services/oauth2/token", data=_LOGIN) as response:
            token = await response.json()
        org = token["id"].split("/")[-2]
        headers = {"Authorization": f"Bearer {token['access_token']}", "Content-Type": "application/json"}

        async def ask(channel: str, **more: Any) -> list[dict[str, Any]]:
            body = orjson.dumps([{"channel": channel, **more}])
            async with http.post(f"{url}/cometd/64.0", data=body, headers=headers) as response:
                return list(orjson.loads(await response.read()))

        offer = {"version": "1.0", "supportedConnectionTypes": ["long-polling"], "ext": {"replay": True}}
        [hello] = await ask("/meta/handshake", **offer)
        client = {"clientId": hello["clientId"]}
        await ask("/meta/subscribe", subscription=_CHANNEL, ext={"replay": {_CHANNEL: -2}}, **client)
        try:
            while True:
                answer = await ask("/meta/connect", connectionType="long-polling", **client)
                if events := [message["data"] for message in answer if message["channel"] == _CHANNEL]:
                    _commit(events, producer, org, prefix)
        finally:
            await ask("/meta/disconnect", **client)


def _commit(events: list[dict[str, Any]], producer: Producer, org: str, prefix: str) -> None:
    source = f"/salesforce/{org}"
    producer.begin_transaction()
    for event in events:
        fields = event["payload"]
        header = fields.pop("ChangeEventHeader")
        entity, change, key = header["entityName"], header["changeType"], header["transactionKey"]
        sequence, committed_ms = header["sequenceNumber"], header["commitTimestamp"]
        replay_id = str(event["event"]["replayId"])
        for record_id in header["recordIds"]:
            data = {
                "record_id": record_id,
                "entity": entity,
                "change": change,
                "fields": fields,
                "changed_fields": header["changedFields"],
                "nulled_fields": [name for name, value in fields.items() if value is None],
                "transaction": {
                    "key": key,
                    "sequence": sequence,
                    "commit_number": header["commitNumber"],
                    "user": header["commitUser"],
                    "origin": header["changeOrigin"],
                },
            }
            headers = {
                "ce_specversion": b"1.0",
                "ce_type": f"salesforce.cdc.{entity}.{_KINDS[change]}",
                "ce_id": f"{key}:{sequence}:{record_id}",
                "ce_source": source,
                "ce_time": _time(committed_ms),
                "ce_sfchannel": _CHANNEL,
                "ce_sfreplayid": replay_id,
                "content-type": b"application/json",
                "ce_subject": record_id,
            }
            value, topic = orjson.dumps(data), f"{prefix}.cdc.{entity}"
            producer.produce(topic, value, record_id, headers=headers, timestamp=committed_ms)
    # More of the last message may come, so the checkpoint is the one before it.
    checkpoint = {
        "v": 1,
        "org": org,
        "path": _CHANNEL,
        "replay_id": str(events[-2]["event"]["replayId"]),
        "verified_at": time.time(),
        "appended": [f"{key}:{sequence}:{record_id}" for record_id in header["recordIds"]],
        "open_replay_id": replay_id,
    }
    value, topic = orjson.dumps(checkpoint), f"{prefix}.checkpoints"
    producer.produce(topic, value, f"{org}{_CHANNEL}", headers={"content-type": b"application/json"})
    producer.commit_transaction()


@lru_cache(maxsize=1024)
def _time(epoch_ms: int) -> str:
    seconds, milliseconds = divmod(epoch_ms, 1000)
    return time.strftime(f"%Y-%m-%dT%H:%M:%S.{milliseconds:03d}Z", time.gmtime(seconds))


def _producer(kafka: str, prefix: str) -> Producer:
    topics = [NewTopic(f"{prefix}.cdc.Account", 6, config=_TOPIC), NewTopic(f"{prefix}.checkpoints", 8)]
    admin = AdminClient({"bootstrap.servers": kafka})
    for made in admin.create_topics(topics).values():
        made.result()
    producer = Producer({"bootstrap.servers": kafka, "transactional.id": prefix, **_PRODUCER})
    producer.init_transactions()
    return producer


if __name__ == "__main__":
    # The daemon does so too: there are no cycles to look for in what is parsed and dropped.
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
    with suppress(KeyboardInterrupt):
        asyncio.run(drain(*sys.argv[1:]))
