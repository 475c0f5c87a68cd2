"""PushTopics of the org: checks a topic when it is saved, and publishes its notifications.

The source for the notifications, their order and their fields is the Streaming API
guide, PushTopic.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from streamer.clock import Clock
from streamer.sandbox.org.bus import EventBus
from streamer.sandbox.org.definitions.streaming_objects import PUSH_TOPIC
from streamer.sandbox.org.field_values import timestamp
from streamer.sandbox.org.org import SandboxOrg
from streamer.sandbox.org.records import Record
from streamer.sandbox.org.refusals import Refused
from streamer.sandbox.org.transaction import RecordOperation
from streamer.sandbox.streaming.topic_query import TopicQuery

PREFIX = "/topic/"
_TYPES = {"Create": "created", "Update": "updated", "Delete": "deleted", "Undelete": "undeleted"}


class PushTopics:
    """Publishes on `/topic/NAME` the notifications that the topic's query and settings ask for."""

    def __init__(self, org: SandboxOrg, bus: EventBus, clock: Clock) -> None:
        """Follow the transactions of `org`."""
        self._org = org
        self._bus = bus
        self._clock = clock
        org.schema.rules[PUSH_TOPIC] = self._check
        org.listen(self._notify)

    def query(self, name: str) -> TopicQuery | None:
        """Return the query of the active topic with exactly this name, or `None`."""
        found = self._org.records.find(self._org.schema.entity(PUSH_TOPIC), "Name", name)
        topic = next((each for each in found if each["Name"] == name and each["IsActive"]), None)
        return None if topic is None else self._query(topic)

    def _query(self, topic: Record) -> TopicQuery:
        org = self._org
        return TopicQuery.of(topic["Query"], org.schema, org.records, self._clock.now())

    def _check(self, topic: Record) -> None:
        """Raise `Refused` for a query that a topic can't have."""
        self._query(topic)

    def _notify(self, operations: Sequence[RecordOperation]) -> None:
        topics = [
            topic
            for topic in self._org.records.all(self._org.schema.entity(PUSH_TOPIC))
            if topic["IsActive"] and not topic["IsDeleted"]
        ]
        # Records that a cascading deletion also deletes cause no notifications.
        own = [each for each in operations if not each.is_cascaded] if topics else []
        for topic in topics if own else ():
            try:
                query = self._query(topic)
            except Refused:
                # The schema no longer has a type or field of the query.
                continue
            for operation in _last_first(own):
                self._publish(topic, query, operation)

    def _publish(self, topic: Record, query: TopicQuery, operation: RecordOperation) -> None:
        kind = operation.kind
        if operation.entity.name != query.entity.name or not topic[f"NotifyForOperation{kind}"]:
            return
        if kind == "Update" and not _concerns(topic["NotifyForFields"], query, operation):
            return
        sobject = query.sobject(operation.after)
        if sobject is None:
            return
        if kind == "Delete":
            sobject = {"Id": operation.after["Id"]}
        event = {"createdDate": timestamp(self._clock.now()), "type": _TYPES[kind]}
        self._bus.publish([f"{PREFIX}{topic['Name']}"], {"event": event, "sobject": sobject})


def _last_first(operations: Sequence[RecordOperation]) -> Iterator[RecordOperation]:
    """Iterate over the operations by record; a record's operations are in the order of its notifications.

    A record's notifications from one transaction arrive in reverse order, the last
    first (Streaming API guide, notification message order).
    """
    by_record: dict[str, list[RecordOperation]] = {}
    for each in operations:
        by_record.setdefault(each.after["Id"], []).append(each)
    for several in by_record.values():
        yield from reversed(several)


def _concerns(notify_for: Any, query: TopicQuery, operation: RecordOperation) -> bool:
    """Return whether an update changed a field that the topic's `NotifyForFields` names."""
    before, after = operation.before or {}, operation.after
    changed = {name for name in after if before.get(name) != after[name]}
    match notify_for:
        case "All":
            return True
        case "Select":
            return bool(changed & query.selected)
        case "Where":
            return bool(changed & query.filtered)
    return bool(changed & (query.selected | query.filtered))
