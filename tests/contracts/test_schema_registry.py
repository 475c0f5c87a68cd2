"""The contract of a schema registry, on the twin in memory and on a real Apicurio."""

import uuid
from collections.abc import Mapping

import orjson
import pytest

from streamer.clock import SystemClock
from streamer.log.kafka.schemas.registry import (
    HttpRegistry,
    MemoryRegistry,
    SchemaIncompatible,
    SchemaRegistry,
    SchemaText,
)
from streamer.settings import SchemaRegistrySettings


@pytest.fixture(params=["memory", "apicurio"])
def registry(request: pytest.FixtureRequest) -> SchemaRegistry:
    """One kind of registry; the real one is shared, so each test has subjects of its own."""
    if request.param == "memory":
        return MemoryRegistry()
    url = request.getfixturevalue("registry_url")
    return HttpRegistry(SchemaRegistrySettings(url=url), SystemClock())


@pytest.fixture
def subject() -> str:
    """An unused subject, with a character that an address must quote."""
    return f"test.{uuid.uuid4().hex}/Account-value"


def of_fields(*fields: Mapping[str, object]) -> SchemaText:
    """Return an Avro record with these fields; each test has a record of its own."""
    return SchemaText("AVRO", orjson.dumps({"type": "record", "name": "Account", "fields": fields}).decode())


NAME = {"name": "Name", "type": ["null", "string"], "default": None}
MORE = {"name": "Phone", "type": ["null", "string"], "default": None}
NUMBER = {"name": "Name", "type": ["null", "double"], "default": None}


async def test_schema_is_read_by_its_id(registry: SchemaRegistry, subject: str) -> None:
    """A reader gets the text that the writer registered."""
    schema_id = await registry.register(subject, of_fields(NAME))

    assert await registry.schema(schema_id) == of_fields(NAME)


async def test_json_schema_keeps_its_format(registry: SchemaRegistry, subject: str) -> None:
    """A reader learns from the registry how the values are written."""
    schema = SchemaText("JSON", '{"$schema": "http://json-schema.org/draft-07/schema#", "type": "object"}')
    schema_id = await registry.register(subject, schema)

    assert await registry.schema(schema_id) == schema


async def test_unknown_id_has_no_schema(registry: SchemaRegistry) -> None:
    """A record of another registry is told from an outage."""
    assert await registry.schema(4_000_000_000) is None


async def test_registering_again_gives_the_same_id(registry: SchemaRegistry, subject: str) -> None:
    """Every process and every restart writes the same id."""
    schema_id = await registry.register(subject, of_fields(NAME))

    assert await registry.register(subject, of_fields(NAME)) == schema_id
    assert await registry.register(f"{subject}2", of_fields(NAME)) == schema_id


async def test_lookup_registers_nothing(registry: SchemaRegistry, subject: str) -> None:
    """A process without the permission to write can use a registered schema."""
    assert await registry.lookup(subject, of_fields(NAME)) is None
    assert await registry.latest(subject) is None

    schema_id = await registry.register(subject, of_fields(NAME))

    assert await registry.latest(subject) == of_fields(NAME)
    assert await registry.lookup(subject, of_fields(NAME)) == schema_id
    assert await registry.lookup(subject, of_fields(NAME, MORE)) is None


async def test_new_field_with_default_is_compatible(registry: SchemaRegistry, subject: str) -> None:
    """An org's new field, and a deleted one, never stop a channel."""
    await registry.register(subject, of_fields(NAME))
    await registry.require(subject, "BACKWARD")

    assert await registry.incompatibility(subject, of_fields(NAME, MORE)) == ""
    await registry.register(subject, of_fields(NAME, MORE))
    await registry.register(subject, of_fields(MORE))


async def test_changed_type_is_refused_and_told_before(registry: SchemaRegistry, subject: str) -> None:
    """Consumers could not read both types; the check itself changes nothing."""
    await registry.register(subject, of_fields(NAME))
    await registry.require(subject, "BACKWARD")

    assert await registry.incompatibility(subject, of_fields(NUMBER))
    with pytest.raises(SchemaIncompatible):
        await registry.register(subject, of_fields(NUMBER))
    assert await registry.lookup(subject, of_fields(NUMBER)) is None


async def test_anything_can_follow_in_a_new_subject(registry: SchemaRegistry, subject: str) -> None:
    """Without an earlier schema, there is nothing to compare with."""
    assert await registry.incompatibility(subject, of_fields(NUMBER)) == ""
