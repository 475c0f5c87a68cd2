"""The doctor and the schema registry: it compares the org's schemas before a run, and registers none."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from streamer.clock import SystemClock
from streamer.doctor import Area
from streamer.log.kafka.schemas.registry import HttpRegistry, SchemaText
from streamer.sandbox import OrgSetup, Sandbox, SandboxSettings, parse_schema
from streamer.settings import SchemaRegistrySettings
from tests.configuration import sandbox_configuration
from tests.doctor import examined, faults, line

SCHEMA = parse_schema({"channels": {"ChangeEvents": {"Account": []}}})


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    """An org that announces changes of accounts."""
    async with Sandbox(SystemClock(), settings=SandboxSettings(org=OrgSetup(schema=SCHEMA))) as sandbox:
        yield sandbox


def configured(sandbox: Sandbox, kafka: str, url: str, prefix: str) -> dict[str, Any]:
    """Return a configuration with schemas in the registry at `url`."""
    log = {
        "bootstrap_servers": kafka,
        "prefix": prefix,
        "topic": f"{prefix}.{{kind}}.{{name}}",
        "format": "avro",
        "schema_registry": {"url": url},
    }
    return sandbox_configuration(sandbox.url, log={"kafka": log})


async def test_incompatible_schema_is_found_before_a_run(
    sandbox: Sandbox, kafka: str, registry_url: str, tmp_path: Path
) -> None:
    """First nothing is registered, and all is good; then a registered type contradicts the org's."""
    prefix = f"doctor{uuid.uuid4().hex[:8]}"
    configuration = configured(sandbox, kafka, registry_url, prefix)
    registry = HttpRegistry(SchemaRegistrySettings(url=registry_url), SystemClock())
    subject = f"{prefix}.cdc.Account-value"

    diagnosis = await examined(tmp_path, configuration, Area.LOG)

    assert not faults(diagnosis)
    said = "\n".join(map(line, diagnosis.findings))
    assert f"the registry answers at {registry_url}" in said
    assert "the registry takes the schemas of the events of 2 objects" in said
    assert await registry.latest(subject) is None

    fields = [{"name": "record_id", "type": "double"}]
    text = orjson.dumps(
        {"type": "record", "name": "Account", "namespace": "salesforce.cdc", "fields": fields}
    )
    await registry.register(subject, SchemaText("AVRO", text.decode()))
    await registry.require(subject, "BACKWARD")

    (fault,) = faults(await examined(tmp_path, configuration, Area.LOG))

    assert fault.startswith(f"failed schemas: consumers of topic {prefix}.cdc.Account can't read")
    assert "undo the change in the org" in fault


async def test_incompatible_schema_of_states_is_found_before_a_run(
    sandbox: Sandbox, kafka: str, registry_url: str, tmp_path: Path
) -> None:
    """The states have a subject of their own, and are compared by the org's present fields."""
    prefix = f"doctor{uuid.uuid4().hex[:8]}"
    configuration = configured(sandbox, kafka, registry_url, prefix)
    configuration["log"]["kafka"]["state_topic"] = f"{prefix}.state.{{name}}"
    configuration["state"] = {"objects": ["Account"]}
    registry = HttpRegistry(SchemaRegistrySettings(url=registry_url), SystemClock())
    subject = f"{prefix}.state.Account-value"
    assert not faults(await examined(tmp_path, configuration, Area.LOG))
    fields = [{"name": "event_id", "type": "double"}]
    text = orjson.dumps(
        {"type": "record", "name": "Account", "namespace": "salesforce.state", "fields": fields}
    )
    await registry.register(subject, SchemaText("AVRO", text.decode()))
    await registry.require(subject, "BACKWARD")

    (fault,) = faults(await examined(tmp_path, configuration, Area.LOG))

    assert fault.startswith(f"failed schemas: consumers of topic {prefix}.state.Account can't read records")
    assert f"the subject {subject}" in fault


async def test_registry_that_does_not_answer_is_a_fault(sandbox: Sandbox, kafka: str, tmp_path: Path) -> None:
    """Its address is in the message."""
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        configuration = configured(sandbox, kafka, f"http://127.0.0.1:{port}", "doctor")
        found = faults(await examined(tmp_path, configuration, Area.LOG))

    assert any(
        each.startswith("failed schema registry") and f":{port} is unavailable" in each for each in found
    )
