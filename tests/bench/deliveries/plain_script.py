"""What one would write without Streamer: for each event a request, and then its offset is committed.

`python -m tests.bench.deliveries.plain_script KAFKA TOPIC URL COUNT` prints how many a second.
"""

import asyncio
import json
import sys
import time

import aiohttp
from aiokafka import AIOKafkaConsumer


async def deliver(kafka: str, topic: str, url: str, count: int) -> float:
    """Deliver `count` events one by one; return how many a second."""
    async with (
        AIOKafkaConsumer(
            topic,
            bootstrap_servers=kafka,
            group_id=f"plain-{topic}",
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
        ) as consumer,
        aiohttp.ClientSession() as http,
    ):
        began, done = 0.0, 0
        async for record in consumer:
            began = began or time.perf_counter()
            body = {"order": dict(record.headers)["ce_id"].decode(), "data": json.loads(record.value or b"")}
            async with http.post(f"{url}/shipments", json=body) as response:
                response.raise_for_status()
                await response.read()
            await consumer.commit()
            done += 1
            if done == count:
                break
        return count / (time.perf_counter() - began)


if __name__ == "__main__":
    _, address, name, target, number = sys.argv
    found = asyncio.run(deliver(address, name, target, int(number)))
    print(json.dumps(found))  # noqa: T201 - its result
