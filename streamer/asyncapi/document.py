"""AsyncAPI 3.0.0 document of an interface, with a channel for each topic or family of topics."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, Literal

import orjson
from confluent_kafka.admin import NewTopic  # type: ignore[attr-defined] # public, but not marked so

from streamer import DISTRIBUTION
from streamer.asyncapi.interface import BINDING, Interface, security_schemes, servers
from streamer.cloud_events import JSON, STRUCTURED
from streamer.configuration.event_types import Carried
from streamer.events import JsonObject
from streamer.log.kafka.cluster.names import Names
from streamer.log.kafka.schemas.subjects import content_type, subject_of
from streamer.log.kafka.topics.specs import TopicSpecs
from streamer.log.schemas import DEFINITIONS, data_of_types, definitions, reachable, reference, references
from streamer.settings import KafkaLogSettings

SCHEMAS = "#/components/schemas/"
"""Prefix of the references to schemas."""

RECORD_MESSAGES = {
    "Receipt": ("ReceiptHeaders", "the key of the event"),
    "DeadLetter": ("DeadLetterHeaders", "the id of the dead letter, a # and the number of the part"),
    "ContinuityRecord": ("RecordHeaders", "the id of the hole or of the snapshot"),
    "AuditRecord": ("RecordHeaders", "empty"),
}
"""Each message that is not an event, with its headers and the meaning of its key."""

_OF_KINDS: Mapping[str, tuple[str, ...]] = {
    "event": ("PlatformEvent",),
    "topic": ("PushTopicNotification",),
    "generic": ("GenericEvent",),
    "outbound": ("OutboundMessage",),
}
_KEYS = {
    "PlatformEvent": "the value of the channel's key field, or the id of the event",
    "GenericEvent": "the value of the channel's key field, or the id of the event",
    "PushTopicNotification": "the id of the record, or the id of the event if the event names no record",
}
_KEY = "the id of the record"
_TOMBSTONE = "Tombstone"
_MODES = {
    "binary": (JSON, "EventHeaders", "ce_type"),
    "structured": (STRUCTURED, "StructuredHeaders", "type"),
}

Mode = Literal["binary", "structured"]

_SPECIFICATION = "3.0.0"
_ABOUT = """\
Streamer carries the events of a Salesforce org into these topics. Read these topics with \
isolation.level=read_committed. With any other level, a consumer also reads records of \
aborted transactions.

Only Streamer reads and writes the topics with the tag internal."""


def messages_of(kind: str, *, tombstones: bool) -> tuple[str, ...]:
    """Return the names of the messages in a topic with events of this kind, such as `cdc`."""
    if kind in _OF_KINDS:
        return _OF_KINDS[kind]
    every = (name for names in data_of_types().values() for name in names)
    changes = dict.fromkeys(name for name in every if name.startswith("Change"))
    return (*changes, _TOMBSTONE) if tombstones else tuple(changes)


def event_message(name: str, mode: Mode) -> JsonObject:
    """Return the message of events whose data match the definition `name`."""
    content_type, headers, type_header = _MODES[mode]
    payload = _schema(name)
    if mode == "structured":
        payload = {"allOf": [_schema("CloudEvent"), {"properties": {"data": payload}}]}
    pattern = {"pattern": _pattern(name)}
    return _message_of(
        name,
        content_type.decode(),
        headers={
            "type": "object",
            "allOf": [_schema(headers), {"properties": {type_header: pattern}}],
        },
        payload=payload,
        key=_KEYS.get(name, _KEY),
    )


def record_message(name: str) -> JsonObject:
    """Return the message of records that match the definition `name`."""
    headers, key = RECORD_MESSAGES[name]
    return _message_of(
        name,
        JSON.decode(),
        headers=_schema(headers),
        payload=_schema(name),
        key=key,
    )


def tombstone_message() -> JsonObject:
    """Return the message of a record that says that a Salesforce record was deleted."""
    return {
        "name": _TOMBSTONE,
        "title": _TOMBSTONE,
        "summary": "A record without a value and without headers, after the event of a deletion.",
        "payload": {"type": "null"},
        "bindings": {"kafka": {"key": {"type": "string", "description": _KEY}, **BINDING}},
    }


def _schema(name: str) -> JsonObject:
    return reference(name, within=SCHEMAS)


def _message_of(
    name: str, content_type: str, *, headers: JsonObject, payload: JsonObject, key: str
) -> JsonObject:
    return {
        "name": name,
        "title": re.sub(r"(?<!^)(?=[A-Z])", " ", name),
        "summary": definitions()[name]["description"],
        "contentType": content_type,
        "headers": headers,
        "payload": payload,
        "bindings": {"kafka": {"key": {"type": "string", "description": key}, **BINDING}},
    }


def _pattern(name: str) -> str:
    """Return the pattern of the event types whose data can match this definition."""
    found = [pattern for pattern, names in data_of_types().items() if name in names]
    return found[0] if len(found) == 1 else "|".join(f"({pattern})" for pattern in found)


_NAME = "{name}"
_WITH_SCHEMAS = ("cdc", "event")
_LOOKUPS = {
    "topic": "TopicIdStrategy",
    "record": "RecordIdStrategy",
    "topic-record": "TopicRecordIdStrategy",
}
_WHOSE = {
    "cdc": ("the changes of one object", "the API name of the object, such as Account"),
    "event": ("one platform event", "the API name of the event, such as Order_Placed__e"),
    "topic": ("the notifications of one PushTopic", "the name of the PushTopic"),
    "generic": (
        "the events of one generic channel",
        "the name of the channel, with _ instead of special characters",
    ),
    "outbound": ("the outbound messages about one object", "the API name of the object, such as Lead"),
}
_RECORDS = {
    "receipts": ("Receipt", "Finished deliveries."),
    "dead_letters": ("DeadLetter", "Events that were set aside. A tombstone removes a dead letter."),
    "continuity": ("ContinuityRecord", "Holes, the repairs of holes, and snapshots."),
    "audit": ("AuditRecord", "Actions of operators and of Streamer."),
}
_OWN = {
    "checkpoints": "The position of each channel.",
    "control": "Pauses, redrives, snapshot orders and position orders.",
}
_NOT_YOURS = "Only Streamer reads and writes this topic. The format of the records can change."
# Topic settings that the Kafka binding contains: a list and numbers.
_LISTED = "cleanup.policy"
_BINDING_KEYS = frozenset({_LISTED, "retention.ms", "max.message.bytes"})


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicChannel:
    """One topic, or a family of topics if the address contains `{name}`.

    `messages` is empty for Streamer's own topics.
    """

    address: str
    description: str
    messages: tuple[str, ...] = ()
    spec: NewTopic | None = None
    names: str = ""

    @property
    def id(self) -> str:
        """Key of the channel in the document."""
        return self.address.replace(_NAME, "NAME")

    def channel(self) -> JsonObject:
        """Return the AsyncAPI channel of the topic."""
        found: JsonObject = {"address": self.address, "description": self.description}
        if self.names:
            found["parameters"] = {"name": {"description": self.names}}
        if self.messages:
            found["messages"] = {name: {"$ref": f"#/components/messages/{name}"} for name in self.messages}
        else:
            found["tags"] = [{"name": "internal"}]
        if self.spec is not None:
            found["bindings"] = {"kafka": _binding(self.spec)}
        return found

    def operation(self) -> JsonObject:
        """Return the AsyncAPI operation, in which Streamer sends the messages."""
        return {
            "action": "send",
            "channel": {"$ref": f"#/channels/{self.id}"},
            "summary": self.description,
            "messages": [{"$ref": f"#/channels/{self.id}/messages/{name}"} for name in self.messages],
        }


def topics(interface: Interface) -> list[TopicChannel]:
    """Return all topics of `interface`: topics of events, topics of records, and Streamer's own topics."""
    names, specs = Names.of(interface.kafka), TopicSpecs(settings=interface.kafka)
    return [
        *_event_topics(interface, names, specs),
        *_record_topics(names, specs),
        *_own_topics(interface, names, specs),
    ]


def _event_topics(interface: Interface, names: Names, specs: TopicSpecs) -> Iterator[TopicChannel]:
    """Yield the event topics; with a template without `{kind}`, several kinds share a topic."""
    kinds: dict[str, list[Carried]] = {}
    for each in _with_named(interface.carried, names):
        kinds.setdefault(_address(each, names), []).append(each)
    for address, found in kinds.items():
        whose = dict.fromkeys(each.kind for each in found)
        yield TopicChannel(
            address=address,
            description=f"Events: {' or '.join(_WHOSE[kind][0] for kind in whose)}."
            + "".join(dict.fromkeys(_subject(each, address, interface.kafka) for each in found)),
            messages=tuple(
                message
                for kind in whose
                for message in messages_of(kind, tombstones=specs.settings.tombstones)
            ),
            spec=specs.events(address),
            names="; or ".join(_WHOSE[kind][1] for kind in whose) if _NAME in address else "",
        )


def _with_named(carried: Iterable[Carried], names: Names) -> Iterator[Carried]:
    """Yield `carried`, and each entity or event in it whose topic has a name of its own."""
    parts = (key.partition(".") for key in names.naming.names)
    named = [Carried(kind=kind, name=name) for kind, _, name in parts]
    for each in carried:
        yield each
        if each.name is None:
            yield from (one for one in named if one.kind == each.kind)


def _address(carried: Carried, names: Names) -> str:
    if carried.name is None:
        return names.naming.family(carried.kind)
    return names.event_topic(f"salesforce.{carried.kind}.{carried.name}")


def _record_topics(names: Names, specs: TopicSpecs) -> Iterator[TopicChannel]:
    internal = specs.internal()
    for attribute, (message, description) in _RECORDS.items():
        address: str = getattr(names, attribute)
        yield TopicChannel(
            address=address, description=description, messages=(message,), spec=internal[address]
        )


def _own_topics(interface: Interface, names: Names, specs: TopicSpecs) -> Iterator[TopicChannel]:
    internal = specs.internal()
    for attribute, description in _OWN.items():
        address: str = getattr(names, attribute)
        yield TopicChannel(address=address, description=f"{description} {_NOT_YOURS}", spec=internal[address])
    for name in interface.subscribers:
        description = f"Events that wait for another delivery attempt to the subscriber {name}. {_NOT_YOURS}"
        yield TopicChannel(address=names.parked(name), description=description, spec=specs.parked(name))
    for name in interface.forwarded:
        description = (
            f"Events that upstream subscribers forwarded to the subscriber {name}, with the receipts "
            f"of these upstream subscribers. {_NOT_YOURS}"
        )
        yield TopicChannel(address=names.forwarded(name), description=description, spec=specs.forwarded(name))


def _binding(spec: NewTopic) -> JsonObject:
    config: dict[str, Any] = dict(spec.config or {})
    settings = {key: _number_or_list(key, value) for key, value in config.items() if key in _BINDING_KEYS}
    is_one = _NAME not in spec.topic
    return {
        **({"topic": spec.topic} if is_one else {}),
        "partitions": spec.num_partitions,
        **({"replicas": spec.replication_factor} if spec.replication_factor > 0 else {}),
        "topicConfiguration": settings,
        **BINDING,
    }


def _number_or_list(key: str, value: str) -> int | list[str]:
    return value.split(",") if key == _LISTED else int(value)


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
    if name == _TOMBSTONE:
        return tombstone_message()
    if name in RECORD_MESSAGES:
        return record_message(name)
    message = event_message(name, interface.kafka.content_mode)
    has_schema = any(name in messages_of(kind, tombstones=False) for kind in _WITH_SCHEMAS)
    return _with_schema(message, interface.kafka) if has_schema else message


def _with_schema(message: JsonObject, kafka: KafkaLogSettings) -> JsonObject:
    """Return the message in the format of the settings; the registry has the schemas of values in Avro."""
    registry = kafka.schema_registry
    if registry is None or kafka.format == "json":
        return message
    is_avro = kafka.format == "avro"
    binding = {
        **message["bindings"]["kafka"],
        "schemaIdLocation": "payload" if registry.id_in == "value" else "header",
        **({"schemaIdPayloadEncoding": "confluent"} if registry.id_in == "value" else {}),
        "schemaLookupStrategy": _LOOKUPS[registry.subjects],
    }
    about = {
        **message,
        "contentType": content_type("AVRO" if is_avro else "JSON", registry).decode(),
        "bindings": {"kafka": binding},
    }
    return {name: value for name, value in about.items() if not (is_avro and name == "payload")}


def _subject(carried: Carried, address: str, kafka: KafkaLogSettings) -> str:
    """Return a sentence about the subject of a topic's schemas; empty without schemas."""
    registry = kafka.schema_registry
    if registry is None or kafka.format == "json" or carried.kind not in _WITH_SCHEMAS:
        return ""
    stem = f"salesforce.{carried.kind}.{carried.name or _NAME}"
    form = "Avro" if kafka.format == "avro" else "JSON"
    return f" The values are {form}; the schemas are in the subject {subject_of(registry, address, stem)}."


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
