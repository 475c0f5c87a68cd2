"""A daemon that writes events in Avro, from an org that describes its objects and platform events."""

import asyncio
import io
import json
import shutil
import signal
import uuid
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import fastavro
import orjson
import pytest
from aiohttp import ClientSession

from streamer.sandbox import Sandbox
from streamer.sandbox.org.definitions import parse_schema
from tests import commands
from tests.configuration import ORDER_KEY, over_pubsub, sandbox_configuration, written
from tests.contracts.kafka_world import read_committed
from tests.daemon import Daemon
from tests.operating import Operator, admin_url
from tests.waiting import awaited, until


async def decoded(kafka: str, registry: str, topic: str) -> list[Any]:
    """Return the values of a topic as an independent reader decodes them."""
    found: list[Any] = []
    async with ClientSession() as http:
        for message in await asyncio.to_thread(read_committed, kafka, topic, 2):
            value = message.value() or b""
            url = f"{registry}/schemas/ids/{int.from_bytes(value[1:5], 'big')}"
            async with http.get(url) as answer:
                about = await answer.json(content_type=None)
            schema = fastavro.parse_schema(json.loads(about["schema"]))
            found.append(fastavro.schemaless_reader(io.BytesIO(value[5:]), schema, None))
    return found


def in_avro(kafka: str, registry: str) -> dict[str, Any]:
    """Return the log of a test, with topics of its own."""
    prefix = f"avro{uuid.uuid4().hex[:8]}"
    return {
        "bootstrap_servers": kafka,
        "prefix": prefix,
        "topic": f"{prefix}.{{kind}}.{{name}}",
        "partitions": 2,
        "format": "avro",
        "schema_registry": {"url": registry},
    }


@pytest.mark.parametrize("transport", ["cometd", "pubsub"])
async def test_daemon_writes_and_delivers_events_in_avro(
    sandbox: Sandbox, kafka: str, registry_url: str, tmp_path: Path, transport: str
) -> None:
    """Schemas come from the org; every field has its type; a subscriber gets the events as with JSON."""
    log, delivered = in_avro(kafka, registry_url), tmp_path / "delivered.jsonl"
    prefix = log["prefix"]
    subscriber = {
        "uses": "file",
        "on": "salesforce.*",
        "settings": {"path": str(delivered)},
        "start": "earliest",
    }
    configuration = sandbox_configuration(sandbox.url, log={"kafka": log}, subscribers={"copy": subscriber})
    if transport == "pubsub":
        configuration = over_pubsub(configuration, sandbox.pubsub_address)
    fields = {ORDER_KEY: {"type": "string"}, "Amount__c": {"type": "double"}}
    sandbox.org.declare(parse_schema({"events": {"Order_Placed__e": {"fields": fields}}}))
    address = {"BillingCity": "Oslo", "BillingStreet": None}
    with sandbox.org.transaction() as transaction:
        account = transaction.create("Account", {"Name": "Åcme", "AnnualRevenue": 12.5, **address})
    with sandbox.org.transaction() as transaction:
        transaction.update("Account", account, {"AnnualRevenue": None, "BillingCity": "Bergen"})
    sandbox.org.publish_platform_event("Order_Placed__e", {ORDER_KEY: "1", "Amount__c": 2.5})

    async with Daemon.running(written(tmp_path, configuration)) as daemon:
        await daemon.ready()
        await until(lambda: delivered.exists() and len(delivered.read_bytes().splitlines()) >= 3)
        assert await daemon.stop() == 0

    events = [orjson.loads(line) for line in delivered.read_bytes().splitlines()]
    created, updated = await decoded(kafka, registry_url, f"{prefix}.cdc.Account")
    (order,) = await decoded(kafka, registry_url, f"{prefix}.event.Order_Placed__e")
    assert (created["change"], created["record_id"]) == ("CREATE", account)
    assert created["fields"]["Name"] == "Åcme"
    assert created["fields"]["AnnualRevenue"] == 12.5
    assert created["fields"]["BillingAddress"]["City"] == "Oslo"
    assert updated["fields"]["BillingAddress"]["City"] == "Bergen"
    assert updated["null_fields"] == ["AnnualRevenue"]
    assert (order["fields"][ORDER_KEY], order["fields"]["Amount__c"]) == ("1", 2.5)
    assert [each["other_values"] for each in (created, updated, order)] == [None] * 3
    assert len(events) == 3


async def test_commands_and_console_read_what_an_earlier_process_wrote_in_avro(
    sandbox: Sandbox, kafka: str, registry_url: str, tmp_path: Path
) -> None:
    """A process that has written nothing fetches the schemas, and so does the copy of the states."""
    log = in_avro(kafka, registry_url)
    log |= {"state_topic": f"{log['prefix']}.state.{{name}}", "state_directory": str(tmp_path / "state")}
    configuration = sandbox_configuration(sandbox.url, log={"kafka": log}, state={"objects": ["Account"]})
    config = written(tmp_path, configuration)
    with sandbox.org.transaction() as transaction:
        account = transaction.create("Account", {"Name": "Åcme", "AnnualRevenue": 12.5})
    async with Daemon.running(config) as daemon:
        await daemon.ready()
        operator = await Operator.of(daemon)
        await until(partial(has_state, operator, account))
        assert await daemon.stop() == 0
    shutil.rmtree(tmp_path / "state")

    async with Daemon.running(config) as daemon:
        await daemon.ready()
        operator = await Operator.of(daemon)
        await until(partial(has_state, operator, account))
        state = (await operator.call("state", "get", "Account", account, "--json")).json
        listed = (await operator.call("events", "find", account, "--json")).json["events"]
        shown = (await operator.call("events", "show", listed[0]["id"], "--json")).output
        story = f"{await admin_url(daemon)}/console/events/{quote(listed[0]['id'])}"
        async with ClientSession() as http, http.get(story) as answer:
            page = await answer.text()
        output, said = tmp_path / "shown", tmp_path / "said"
        with output.open("wb") as stdout, said.open("wb") as stderr:
            tail = await commands.start(
                "tail", "--type", "salesforce.cdc.*", "--json",
                stdout=stdout, stderr=stderr, environ=operator.environ,
            )  # fmt: skip
        await until(lambda: "This command shows new events" in said.read_text())
        with sandbox.org.transaction() as transaction:
            transaction.update("Account", account, {"Name": "Bolt"})
        await until(lambda: "Bolt" in output.read_text())
        tail.send_signal(signal.SIGINT)
        await awaited(tail.wait(), "the end of the tail")
        assert await daemon.stop() == 0

    assert (state["fields"]["Name"], state["fields"]["AnnualRevenue"]) == ("Åcme", 12.5)
    assert "Åcme" in shown
    assert "Åcme" in page
    first, *_ = await decoded(kafka, registry_url, f"{log['prefix']}.state.Account")
    assert (first["fields"]["AnnualRevenue"], first["other_values"]) == (12.5, None)


async def has_state(operator: Operator, record_id: str) -> bool:
    """Return true once a record has a state."""
    return (await operator.call("state", "get", "Account", record_id)).status == 0
