"""AsyncAPI 3.0.0 document of an interface."""

from collections.abc import Iterable, Iterator
from importlib.metadata import version
from typing import Any

import orjson

from streamer import DISTRIBUTION
from streamer.asyncapi.channels import (
    RECORD_MESSAGES,
    SCHEMAS,
    TopicChannel,
    event_message,
    record_message,
    topics,
)
from streamer.asyncapi.interface import Interface, security_schemes, servers
from streamer.events import JsonObject
from streamer.log.schemas import DEFINITIONS, definitions, reachable, references

_SPECIFICATION = "3.0.0"
_ABOUT = """\
Streamer carries the events of a Salesforce org into these topics. Read these topics with """
"""\
isolation.level=read_committed. With any other level, a consumer also reads records of """
"""aborted transactions.

Only Streamer reads and writes the topics with the tag internal."""


def asyncapi_document(interface: Interface) -> JsonObject:
    """Return the document, which contains no secret, as JSON values."""
    found = topics(interface)
    messages = {name: _message(name, interface) for name in _messages(found)}
    kafka = interface.kafka
    schemes = security_schemes(kafka) if interface.servers else {}
    document = {
        "asyncapi": _SPECIFICATION,
        "info": {
            "title": f"Events of Salesforce in Kafka ({kafka.prefix})",
            "version": version(DISTRIBUTION),
            "description": _ABOUT,
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        **({"servers": servers(kafka)} if interface.servers else {}),
        "channels": {topic.id: topic.channel() for topic in found},
        "operations": {f"send-{topic.id}": topic.operation() for topic in found if topic.messages},
        "components": {
            "messages": messages,
            "schemas": _schemas(messages),
            **({"securitySchemes": schemes} if schemes else {}),
        },
    }
    # This copies shared parts, because YAML would write them as anchors.
    return dict(orjson.loads(orjson.dumps(document)))


def _messages(found: Iterable[TopicChannel]) -> Iterator[str]:
    return iter(dict.fromkeys(name for topic in found for name in topic.messages))


def _message(name: str, interface: Interface) -> JsonObject:
    if name in RECORD_MESSAGES:
        return record_message(name)
    return event_message(name, interface.kafka.content_mode)


def _schemas(messages: JsonObject) -> JsonObject:
    """Return the definitions that the messages need, with references that are valid in this document."""
    names = reachable(references(messages, within=SCHEMAS))
    return {name: _moved(definitions()[name]) for name in sorted(names)}


def _moved(part: Any) -> Any:
    if isinstance(part, dict):
        return {
            key: SCHEMAS + value.removeprefix(DEFINITIONS) if key == "$ref" else _moved(value)
            for key, value in part.items()
        }
    return [_moved(each) for each in part] if isinstance(part, list) else part
