"""The org: records, transactions, and the events that Salesforce would publish."""

import itertools
import secrets
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from streamer.clock import Clock
from streamer.sandbox.org.bus import EventBus
from streamer.sandbox.org.changes import (
    EVENT_LIMIT_BYTES,
    TRANSACTION_LIMIT,
    ChangeEvent,
    ChangeType,
    entity_wide,
    limited,
    merged,
    overflow,
)
from streamer.sandbox.org.channels import Channels, OrgChannel
from streamer.sandbox.org.definitions.applied import apply, channel_settings, check_uniqueness, selection
from streamer.sandbox.org.definitions.conversion import (
    ConvertedType,
    convert,
    converted,
    custom_field,
    empty,
)
from streamer.sandbox.org.definitions.declaration import DeclaredSchema
from streamer.sandbox.org.definitions.event_bodies import declared_body, open_body
from streamer.sandbox.org.definitions.event_schemas import EventSchemas
from streamer.sandbox.org.definitions.streaming_objects import STREAMING_OBJECTS
from streamer.sandbox.org.field_values import epoch_ms, timestamp, whole_seconds
from streamer.sandbox.org.record_ids import IdSequence, normal_id, with_checksum
from streamer.sandbox.org.records import Record, RecordStore, read_field
from streamer.sandbox.org.refusals import Refused, not_found
from streamer.sandbox.org.schema import Schema
from streamer.sandbox.org.transaction import RecordOperation, Stamp, Transaction, TransactionPermissions
from streamer.sandbox.usage import OrgUsage, UsageLimits

DEFAULT_ORIGIN = "com/salesforce/api/rest/66.0"
_GAPS = frozenset(kind for kind in ChangeType if kind.startswith("GAP_"))

Interceptor = Callable[[Sequence[ChangeEvent]], Sequence[ChangeEvent]]
"""Function that returns the changes that the org announces for a transaction, one for each record."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OrgSetup:
    """The org's set-up by its administrator.

    `objects` are custom objects (`Invoice__c`) and platform events (`Order_Placed__e`).
    Unless the schema is `closed`, the first use of another such name creates the object
    or event. `selected` are the types whose changes are announced; `None` is the usual
    selection, which is all standard and custom types. A declared `schema` is added to
    these objects: it is strict about the names that it declares, and its selection
    replaces `selected`.

    A transaction announces its first `transaction_limit` changes one by one. A change
    of more than `event_bytes` is announced as a gap.
    """

    org_id: str = with_checksum("00DSb0000000001")
    user_id: str = with_checksum("005Sb0000000001")
    username: str = "bus@sandbox.example"
    name: str = "Integration User"
    objects: tuple[str, ...] = ()
    closed: bool = False
    selected: frozenset[str] | None = None
    channels: tuple[OrgChannel, ...] = ()
    transaction_limit: int = TRANSACTION_LIMIT
    event_bytes: int = EVENT_LIMIT_BYTES
    usage: UsageLimits = field(default_factory=UsageLimits)
    schema: DeclaredSchema = field(default_factory=DeclaredSchema)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Commit:
    """The header fields that all change events of one transaction share."""

    origin: str
    user: str
    at_ms: int
    key: str
    number: int

    def header(self, change: ChangeEvent, sequence: int) -> dict[str, Any]:
        """Return the ChangeEventHeader of one change; `sequence` is its position in the transaction."""
        return {
            "entityName": change.entity.name,
            "recordIds": change.record_ids,
            "changeType": change.type.value,
            "changeOrigin": self.origin,
            "transactionKey": self.key,
            "sequenceNumber": sequence,
            "commitTimestamp": self.at_ms,
            "commitNumber": self.number,
            "commitUser": self.user,
            "changedFields": change.changed_fields,
        }


class SandboxOrg:
    """Stores records, changes them in transactions and publishes the changes."""

    def __init__(self, clock: Clock, bus: EventBus, settings: OrgSetup | None = None) -> None:
        self.settings = settings or OrgSetup()
        self.schema = Schema(
            custom=self.settings.objects,
            standard=STREAMING_OBJECTS,
            closed=self.settings.closed,
            now=clock.now,
        )
        self.channels = Channels(self.schema)
        self.event_schemas = EventSchemas(self.schema)
        self.declared = self.settings.schema
        self.records = RecordStore()
        self.usage = OrgUsage(clock, self.settings.usage)
        self._interceptors: list[Interceptor] = []
        self._listeners: list[Callable[[Sequence[RecordOperation]], None]] = []
        self._clock = clock
        self._bus = bus
        self._ids = IdSequence()
        self._commit_numbers = itertools.count(10_500_000_000)
        self.declare(self.settings.schema)
        self._seed()

    @property
    def published(self) -> int:
        """Number of messages ever published, including change events."""
        return self._bus.sequence

    def new_id(self, prefix: str) -> str:
        """Return a new id for an object that is not a record."""
        return self._ids.issue(prefix)

    def declare(self, schema: DeclaredSchema) -> None:
        """Replace the declared schema; records stay as they are.

        Raises `DeclarationError` if records share a value in a field that is
        declared unique.
        """
        check_uniqueness(schema, self.schema, self.records)
        apply(schema, self.schema)
        selected = selection(schema)
        self.channels.configure(
            (*self.settings.channels, *channel_settings(schema)),
            self.settings.selected if selected is None else selected,
        )
        self.declared = schema

    @contextmanager
    def transaction(
        self,
        *,
        user: str | None = None,
        origin: str = DEFAULT_ORIGIN,
        guard: TransactionPermissions | None = None,
    ) -> Iterator[Transaction]:
        """Return a context that announces its operations at its end, or undoes them if its body raises.

        Without a `guard`, every operation is permitted.
        """
        now = self._clock.now()
        by = user or self.settings.user_id
        stamp = Stamp(user=by, at=whole_seconds(now))
        transaction = Transaction(self.schema, self.records, self._ids, stamp, guard)
        try:
            yield transaction
        except BaseException:
            transaction.roll_back()
            raise
        self._announce(self._changes(transaction), user=by, origin=origin)
        operations = transaction.operations() if self._listeners else ()
        for listener in self._listeners:
            listener(operations)

    def intercept(self, interceptor: Interceptor) -> None:
        """Let `interceptor` alter the announcements of each transaction from now on.

        The changes to records take effect unaltered.
        """
        self._interceptors.append(interceptor)

    def _changes(self, transaction: Transaction) -> list[ChangeEvent]:
        changes: Sequence[ChangeEvent] = transaction.changes(event_bytes=self.settings.event_bytes)
        changes = limited(changes, self.settings.transaction_limit)
        for interceptor in self._interceptors:
            changes = interceptor(changes)
        for change in changes:
            if change.keeps_dates:
                transaction.keep_dates(change.record_ids[0])
        return merged(changes)

    def refresh(self, org_id: str | None = None, *, repeat_ids: bool = False) -> str:
        """Become another org, as a refreshed sandbox does, and return its id.

        The records stay, but no event is retained, and no replay id stays valid;
        `repeat_ids` is as for `EventBus.reset`. Without an `org_id`, the org gets a new
        id. Raises `ValueError` for an invalid `org_id`.
        """
        new_id = self._ids.issue("00D") if org_id is None else normal_id(org_id)
        if new_id is None or not new_id.startswith("00D"):
            raise ValueError(
                f"{org_id!r} is not an org id: an org id has 15 or 18 characters and begins with 00D."
            )
        organization = self.schema.entity("Organization")
        record = self.records.get(organization, self.settings.org_id) or {}
        self.records.remove(organization, self.settings.org_id)
        self.records.put(organization, {**record, "Id": new_id})
        self.settings = replace(self.settings, org_id=new_id)
        self._bus.reset(repeat_ids=repeat_ids)
        return new_id

    def convert_field(self, type_name: str, field_name: str, to: ConvertedType) -> int:
        """Give a custom field another type, and return the number of records that lose its value.

        The stamps of the records do not show the conversion. One change event announces
        it: an UPDATE of all records, without fields (CDC guide, conversions that
        generate a change event). Raises `Refused` if the field does not exist, and
        `ValueError` for a standard field.
        """
        entity = self.schema.entity(type_name)
        former = custom_field(entity, field_name)
        declared = self.declared.objects.get(entity.name)
        if declared is not None and former.name in declared.fields:
            self.declare(converted(self.declared, entity, former, to))
        else:
            convert(self.schema, entity, former, to)
        lost = empty(self.records, entity, former, to)
        change = entity_wide(self.schema.entity(entity.name))
        self._announce([change], user=self.settings.user_id, origin="")
        return lost

    def listen(self, listener: Callable[[Sequence[RecordOperation]], None]) -> None:
        """Call `listener` with the operations of each transaction, after its changes are announced."""
        self._listeners.append(listener)

    def add_user(self, username: str, name: str) -> str:
        """Create a user without a change event, and return the user's id."""
        user_id = self._ids.issue("005")
        self._put("User", Id=user_id, Username=username, Name=name, IsActive=True)
        return user_id

    def retrieve(self, type_name: str, record_id: str) -> Record:
        """Return a record; raises `Refused` if the record is deleted or does not exist."""
        record = self.records.get(self.schema.entity(type_name), normal_id(record_id) or record_id)
        if record is None:
            raise not_found()
        if record["IsDeleted"]:
            raise Refused("ENTITY_IS_DELETED", "entity is deleted", status=404)
        return record

    def empty_recycle_bin(self) -> int:
        """Remove all deleted records for good, as an administrator can.

        Return the number of removed records.
        """
        now = whole_seconds(self._clock.now())
        return sum(self.records.empty_recycle_bin(entity, now) for entity in self.schema.entities)

    def publish_platform_event(
        self,
        name: str,
        fields: Mapping[str, Any],
        *,
        user: str | None = None,
        event_uuid: str | None = None,
        stamps: Mapping[str, Any] | None = None,
    ) -> str:
        """Publish a custom or standard platform event, and return its EventUuid.

        A publisher over the Pub/Sub API can choose the EventUuid and the `stamps`
        (`CreatedDate` and `CreatedById`).
        """
        if not self.channels.is_event(name):
            raise not_found()
        event_uuid = event_uuid or str(uuid.uuid4())
        own = {"CreatedDate": timestamp(self._clock.now()), "CreatedById": user or self.settings.user_id}
        declared = self.schema.event(name)
        body = open_body(fields) if declared is None else declared_body(declared, fields)
        definition = declared or self.event_schemas.open_event(name, body)
        payload = {**own, **(stamps or {}), **body}
        data = {
            "schema": self.event_schemas.id_of(definition),
            "payload": payload,
            "event": {"EventUuid": event_uuid, "EventApiName": name},
        }
        self._bus.publish(self.channels.carrying_platform_event(name, payload), data)
        self.usage.published_events.use()
        return event_uuid

    def publish_gap(self, type_name: str, record_ids: Sequence[str], kind: ChangeType) -> None:
        """Announce a change without its values; `kind` is one of the GAP types."""
        if kind not in _GAPS:
            raise ValueError(f"{kind} is not the type of a gap event.")
        change = ChangeEvent(entity=self.schema.entity(type_name), type=kind, record_ids=tuple(record_ids))
        self._announce([change], user=self.settings.user_id, origin="")

    def publish_overflow(self, type_name: str) -> None:
        """Announce that a transaction had too many changes of a type."""
        change = overflow(self.schema.entity(type_name))
        self._announce([change], user=self.settings.user_id, origin=DEFAULT_ORIGIN)

    def _announce(self, changes: Sequence[ChangeEvent], *, user: str, origin: str) -> None:
        commit = _Commit(
            origin=origin,
            user=user,
            at_ms=epoch_ms(self._clock.now()),
            key=str(uuid.uuid4()),
            number=next(self._commit_numbers),
        )
        for sequence, change in enumerate((each for each in changes if not each.in_database), 1):
            self._publish(change, commit.header(change, sequence))
        beneath = [change for change in changes if change.in_database]
        if beneath:
            # The id of a database transaction is not a UUID (CDC guide, ChangeEventHeader fields).
            commit = replace(commit, origin="", key=secrets.token_hex(8), number=next(self._commit_numbers))
        for sequence, change in enumerate(beneath, 1):
            self._publish(change, commit.header(change, sequence))

    def _publish(self, change: ChangeEvent, header: dict[str, Any]) -> None:
        carrying = self.channels.carrying(change.entity)
        if not carrying:
            return
        split = [each for each in carrying if _enriches(each, change)]
        data = self._data(change, header, {})
        whole = [each.path for each in carrying if each not in split and _passes(each, change, data)]
        replay_id = self._bus.publish(whole, data) if whole else None
        for channel in split:
            for record_id in change.record_ids:
                extra = self._enrichment(channel, change, record_id)
                data = self._data(change, {**header, "recordIds": [record_id]}, extra)
                if _passes(channel, change, data):
                    replay_id = self._bus.publish([channel.path], data, replay_id=replay_id)

    def _data(self, change: ChangeEvent, header: dict[str, Any], extra: Mapping[str, Any]) -> dict[str, Any]:
        payload = {"ChangeEventHeader": header, **extra, **change.body}
        return {"schema": self.event_schemas.id_of(change.entity), "payload": payload}

    def _enrichment(self, channel: OrgChannel, change: ChangeEvent, record_id: str) -> dict[str, Any]:
        record = self.records.get(change.entity, record_id) or {}
        names = channel.extra_fields(change.entity.name)
        values = {name: read_field(change.entity, record, name) for name in names}
        return {name: value for name, value in values.items() if value is not None}

    def _seed(self) -> None:
        settings = self.settings
        # The first id of a user and of an org is always taken, even if the settings contain other ids.
        self._ids.issue("005")
        self._ids.issue("00D")
        own = {"Id": settings.user_id, "Username": settings.username, "Name": settings.name}
        self._put("User", **own, IsActive=True)
        self._put("Profile", Id=self._ids.issue("00e"), Name="System Administrator", UserType="Standard")
        self._put("Organization", Id=settings.org_id, Name="Sandbox", IsSandbox=True, InstanceName="SANDBOX")

    def _put(self, type_name: str, **fields: Any) -> None:
        stamp, user = whole_seconds(self._clock.now()), self.settings.user_id
        stamps = {
            "IsDeleted": False,
            "CreatedDate": stamp,
            "CreatedById": user,
            "LastModifiedDate": stamp,
            "LastModifiedById": user,
            "SystemModstamp": stamp,
        }
        self.records.put(self.schema.entity(type_name), {**fields, **stamps})


def _enriches(channel: OrgChannel, change: ChangeEvent) -> bool:
    enriched = bool(channel.extra_fields(change.entity.name)) and not change.is_entity_wide
    return enriched and change.type in {ChangeType.UPDATE, ChangeType.DELETE}


def _passes(channel: OrgChannel, change: ChangeEvent, data: Mapping[str, Any]) -> bool:
    # Gap, overflow and entity-wide events have no fields to filter by, and must not be missed.
    return change.is_gap or change.is_entity_wide or channel.passes(change.entity.name, data["payload"])
