"""Channels of the document: the topics that others read, and those of Streamer's own."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from confluent_kafka.admin import NewTopic  # type: ignore[attr-defined] # public, but not marked so

from streamer.asyncapi.interface import Interface
from streamer.asyncapi.messages import BINDING, messages_of
from streamer.configuration.event_types import Carried
from streamer.events import JsonObject
from streamer.log.kafka.cluster.names import Names
from streamer.log.kafka.topics.specs import TopicSpecs

_NAME = "{name}"
_WHOSE = {
    "cdc": ("the changes of one object", "the API name of the object, such as Account"),
    "event": ("one platform event", "the API name of the event, such as Order_Placed__e"),
    "topic": ("the notifications of one PushTopic", "the name of the PushTopic"),
    "generic": ("the events of one generic channel", "the name of the channel, with _ for its other signs"),
    "outbound": ("the outbound messages about one object", "the API name of the object, such as Lead"),
}
_RECORDS = {
    "receipts": ("Receipt", "Finished deliveries."),
    "dead_letters": ("DeadLetter", "Events that were set aside. A tombstone removes a letter."),
    "continuity": ("ContinuityRecord", "Holes and their repair, and snapshots."),
    "audit": ("AuditRecord", "Actions of operators and of Streamer."),
}
_OWN = {
    "checkpoints": "How far each channel has come.",
    "control": "Pauses, redrives and orders of snapshots.",
}
_NOT_YOURS = "Streamer's own: do not write to it, and expect its form to change."
# Settings that the Kafka binding takes as numbers.
_LISTED = "cleanup.policy"
_BINDING_KEYS = frozenset({_LISTED, "retention.ms", "max.message.bytes"})


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicChannel:
    """One topic, or with `{name}` in its address a family of them; `messages` are empty for our own."""

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
        """Return the channel."""
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
        """Return the operation: Streamer sends, others receive."""
        return {
            "action": "send",
            "channel": {"$ref": f"#/channels/{self.id}"},
            "summary": self.description,
            "messages": [{"$ref": f"#/channels/{self.id}/messages/{name}"} for name in self.messages],
        }


def topics(interface: Interface) -> list[TopicChannel]:
    """Return the topics of `interface`: those of events, those of records, and Streamer's own."""
    names, specs = Names.of(interface.kafka), TopicSpecs(settings=interface.kafka)
    return [
        *_event_topics(interface.carried, names, specs),
        *_record_topics(names, specs),
        *_own_topics(interface, names, specs),
    ]


def _event_topics(carried: Iterable[Carried], names: Names, specs: TopicSpecs) -> Iterator[TopicChannel]:
    """Yield the event topics; a template without `{kind}` gives one topic to several kinds."""
    kinds: dict[str, list[Carried]] = {}
    for each in carried:
        kinds.setdefault(_address(each, names), []).append(each)
    for address, found in kinds.items():
        whose = dict.fromkeys(each.kind for each in found)
        yield TopicChannel(
            address=address,
            description=f"Events: {' or '.join(_WHOSE[kind][0] for kind in whose)}.",
            messages=tuple(message for kind in whose for message in messages_of(kind)),
            spec=specs.events(address),
            names="; or ".join(_WHOSE[kind][1] for kind in whose) if _NAME in address else "",
        )


def _address(carried: Carried, names: Names) -> str:
    if carried.name is None:
        return names.template.format(kind=carried.kind, name=_NAME)
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
        description = f"Events that wait for another attempt at {name}. {_NOT_YOURS}"
        yield TopicChannel(address=names.parked(name), description=description, spec=specs.parked(name))
    for name in interface.forwarded:
        description = f"Events on their way to {name}, with the receipts of those before it. {_NOT_YOURS}"
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
