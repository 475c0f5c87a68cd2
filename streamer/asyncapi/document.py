"""AsyncAPI 3.0.0 document of an interface, with a channel for each topic or family of topics."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import orjson
from confluent_kafka.admin import NewTopic  # type: ignore[attr-defined] # public, but not marked so

from streamer import DISTRIBUTION
from streamer.asyncapi.interface import ANY_OBJECT, BINDING, Interface, security_schemes, servers
from streamer.asyncapi.messages import (
    RECORD_MESSAGES,
    SCHEMAS,
    STATE_MESSAGES,
    STATE_TOMBSTONE,
    TOMBSTONE,
    event_message,
    messages_of,
    record_message,
    state_message,
    state_tombstone_message,
    tombstone_message,
)
from streamer.configuration.event_types import Carried
from streamer.events import JsonObject
from streamer.log.kafka.cluster.names import Names
from streamer.log.kafka.schemas.record_types import state_stem
from streamer.log.kafka.schemas.subjects import content_type, subject_of
from streamer.log.kafka.topics.specs import TopicSpecs
from streamer.log.schemas import DEFINITIONS, definitions, reachable, references
from streamer.settings import KafkaLogSettings

_SPECIFICATION = "3.0.0"
_ABOUT = """\
Streamer carries the events of a Salesforce org into these topics. Read these topics with \
isolation.level=read_committed. With any other level, a consumer also reads records of \
aborted transactions.

Only Streamer reads and writes the topics with the tag internal."""
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
    """Return all topics of `interface`: of events, of states, of other records, and Streamer's own topics."""
    names, specs = Names.of(interface.kafka), TopicSpecs(settings=interface.kafka)
    return [
        *_event_topics(interface, names, specs),
        *_state_topics(interface, names, specs),
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


def _state_topics(interface: Interface, names: Names, specs: TopicSpecs) -> Iterator[TopicChannel]:
    message = STATE_MESSAGES[interface.kafka.state_envelope]
    for entity in interface.states:
        address, is_family = names.state(entity), entity == ANY_OBJECT
        yield TopicChannel(
            address=address,
            description=f"The records of {'one object' if is_family else entity}, each as a whole after its "
            f"last change.{_subject_of(state_stem(entity), address, interface.kafka)}",
            messages=(message, STATE_TOMBSTONE),
            spec=specs.states(entity),
            names=_WHOSE["cdc"][1] if is_family else "",
        )


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
    if name == TOMBSTONE:
        return tombstone_message()
    if name == STATE_TOMBSTONE:
        return state_tombstone_message()
    if name in STATE_MESSAGES.values():
        return _with_schema(state_message(name), interface.kafka)
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
    stem = f"salesforce.{carried.kind}.{carried.name or _NAME}"
    return _subject_of(stem, address, kafka) if carried.kind in _WITH_SCHEMAS else ""


def _subject_of(stem: str, address: str, kafka: KafkaLogSettings) -> str:
    registry = kafka.schema_registry
    if registry is None or kafka.format == "json":
        return ""
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
