"""Settings of the schema registry, and of the formats that need one."""

import pytest

from tests.unit.configuration.conftest import GOOD, Write
from tests.unit.configuration.test_load import errors_of

_LOCAL = "url: http://localhost:8081"


@pytest.mark.parametrize(
    ("kafka", "told"),
    [
        ("format: avro", "format: avro needs schema_registry"),
        (
            f"format: json-schema, content_mode: structured, schema_registry: {{{_LOCAL}}}",
            "format: json-schema needs content_mode: binary",
        ),
        ("schema_registry: {url: 'https://me:hunter22@registry'}", "write them in auth"),
        ("schema_registry: {url: registry:8081}", "must be a URL"),
        ("schema_registry: {url: 'http://registry:8081'}", "anyone on the network to registry"),
        (f"schema_registry: {{{_LOCAL}, auth: {{username: me}}}}", "either username and password, or token"),
        (
            f"schema_registry: {{{_LOCAL}, auth: {{username: me, password: x, token: y}}}}",
            "either username and password, or token",
        ),
        (f"schema_registry: {{{_LOCAL}, auth: {{}}}}", "either username and password, or token"),
        (
            f"schema_registry: {{{_LOCAL}, subjects: record, on_incompatible: new-topic}}",
            "needs subjects: topic or topic-record",
        ),
        (f"format: avro, schema_registry: {{{_LOCAL}, auth: {{token: abc}}}}", ""),
        ("allow_plaintext: true, schema_registry: {url: 'http://registry:8081/apis/ccompat/v7/'}", ""),
    ],
)
def test_mistake_is_named_with_its_remedy(write: Write, kafka: str, told: str) -> None:
    """An operator learns before the start what does not go together, and no message has a secret."""
    text = f"log: {{kafka: {{bootstrap_servers: localhost, {kafka}}}}}\n{GOOD}"

    lines = errors_of(write, text) if told else [""]

    assert any(told in line for line in lines)
    assert not any("hunter22" in line for line in lines)
