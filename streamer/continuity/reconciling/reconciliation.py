"""Comparison of one entity's records in an org with the records in a log."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from enum import StrEnum

from streamer.continuity.reconciling.known_records import (
    ComparedWindow,
    Drift,
    DriftKind,
    Findings,
    KnownRecord,
    KnownRecords,
    Reconciled,
    checkpoint_for,
    shown,
    window_of,
)
from streamer.continuity.reconciling.org_records import Deleted, OrgRecords, ReconciledEntity, RecordVersion
from streamer.events import OrgId
from streamer.ports import EventHistory

# Salesforce stamps records in whole seconds, and events in milliseconds.
_STAMPS_DIFFER_S = 1.0
_INVISIBLE = "the user of org.auth can't find the record in the org, and the org reports no deletion"
_SYSTEM_ONLY = "only the system changed the record: LastModifiedDate is not newer"
_SAYS_DELETED = "the record's last event in the log is a deletion"


class Phase(StrEnum):
    """Source that a comparison is currently reading."""

    LOG = "log"
    ORG = "org"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Requested comparison: the changes of `entity` from `since` to `until`, in epoch seconds.

    Without `until`, the comparison ends at the latest change that can be compared.
    With `channel` (a path), only events of that channel count.
    """

    entity: str
    since: float
    until: float | None = None
    channel: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciliation:
    """Compares the changes in `org` with the `history` of the org's events.

    The log is read first, and memory keeps one time per record. Then the org's
    changes are read page by page, and only differences are kept. So memory grows
    with the number of records that have events in the window, not with the size of
    the log.

    `observe` receives the progress of a phase: the done part and the total.
    """

    history: EventHistory
    records: OrgRecords
    org: OrgId
    observe: Callable[[Phase, int, int], None] = lambda _phase, _done, _total: None

    async def compare(self, asked: Asked) -> Reconciled:
        """Return the differences.

        Raises `RecordsRefused`, `ConfigurationError` if there is nothing to
        compare, and the errors of the ports.
        """
        entity = await self.records.entity(asked.entity)
        checkpoints = await self.history.checkpoints()
        checkpoint = checkpoint_for(entity.name, asked.channel, self.org, checkpoints)
        window = window_of(asked.since, asked.until, checkpoint, self.records.clock.now())
        known, window = await self._known(entity, window, asked.channel)
        findings = Findings()
        records = await self._compared(entity, window, known, findings)
        deleted = await self.records.deleted(entity, window.since, window.until)
        for found in _deletions(deleted, known, window):
            findings.add(found)
        lacks = await self._contradicted(entity, window, known, findings, deleted)
        return Reconciled(
            entity=entity.name,
            channel=checkpoint.channel.path,
            stamp=entity.stamp,
            since=window.since,
            until=window.until,
            records=records,
            deletions=sum(window.since <= at <= window.until for at in deleted.times.values()),
            counts=dict(findings.counts),
            drift=tuple(findings.drift),
            notes=(*window.notes, *_lacks(deleted, window), *lacks),
        )

    async def _known(
        self, entity: ReconciledEntity, window: ComparedWindow, channel: str | None
    ) -> tuple[KnownRecords, ComparedWindow]:
        start = await self.history.start(entity.name, window.since)
        window = window.cut(start.begins_at)
        known, total, begun = KnownRecords(), 0, False
        async with aclosing(self.history.changes(entity.name, start)) as pages:
            async for page in pages:
                for event in page.events:
                    if channel is None or event.channel == channel:
                        known.add(event)
                # The first page states the length of the log.
                total = total if begun else page.left
                begun = True
                self.observe(Phase.LOG, max(0, total - page.left), total)
                await asyncio.sleep(0)
        return known, window

    async def _compared(
        self, entity: ReconciledEntity, window: ComparedWindow, known: KnownRecords, findings: Findings
    ) -> int:
        total = await self.records.count(entity, window)
        done = 0
        async with aclosing(self.records.changed(entity, window, total)) as pages:
            async for page in pages:
                for record in page:
                    if drift := _missing(record, known.take(record.id), window):
                        findings.add(drift)
                done += len(page)
                self.observe(Phase.ORG, done, max(total, done))
                await asyncio.sleep(0)
        return done

    async def _contradicted(
        self,
        entity: ReconciledEntity,
        window: ComparedWindow,
        known: KnownRecords,
        findings: Findings,
        deleted: Deleted,
    ) -> Sequence[str]:
        """Look up the records that only the log has; return notes if the look-up was not possible."""
        # The records with changes in the org were already removed from `known`.
        alone = [each for each in known.between(window.since, window.until) if each not in deleted.times]
        present = await self.records.present(entity, alone)
        for found in _restored(alone, present, known, window):
            findings.add(found)
        absent = [each for each in alone if each not in present and not _is_deleted(known, each)]
        if not absent:
            return ()
        # The org can report a deletion up to a minute late.
        now = self.records.clock.now()
        later = await self.records.deleted(entity, window.until, now)
        if later.until < now:
            return (
                (
                    f"the org does not report deletions after {shown(later.until)} yet, so records "
                    "that are absent from the org are not listed"
                ),
            )
        for each in absent:
            if each not in later.times:
                findings.add(_absent(each, known))
        return ()


def _missing(record: RecordVersion, known: KnownRecord | None, window: ComparedWindow) -> Drift | None:
    """Return the difference between a record in the org and its state in the log, or `None`."""
    if known is not None and not known.is_deleted and known.at >= record.at - _STAMPS_DIFFER_S:
        return None
    detail = ""
    if known is not None and known.is_deleted:
        detail = _SAYS_DELETED
    elif record.modified_at is not None and record.modified_at < record.at:
        known_at = known.at if known is not None else window.since
        detail = _SYSTEM_ONLY if record.modified_at <= known_at else ""
    return Drift(
        kind=DriftKind.MISSING,
        record_id=record.id,
        changed_at=record.at,
        known_at=known.at if known else None,
        detail=detail,
    )


def _restored(
    ids: Sequence[str], present: dict[str, RecordVersion], known: KnownRecords, window: ComparedWindow
) -> Iterator[Drift]:
    """Yield the records that the log says were deleted in the window, but that the org still has."""
    for each in ids:
        record = present.get(each)
        # If a record was restored later, its event can still be on its way.
        if record is not None and _is_deleted(known, each) and record.at <= window.until:
            found = _missing(record, known.get(each), window)
            if found is not None:
                yield found


def _deletions(deleted: Deleted, known: KnownRecords, window: ComparedWindow) -> Iterator[Drift]:
    """Yield the records that the org deleted in the window but whose last event is not a deletion."""
    for record_id, at in deleted.times.items():
        if window.since <= at <= window.until and not _is_deleted(known, record_id):
            found = known.get(record_id)
            known_at = found.at if found else None
            yield Drift(kind=DriftKind.DELETION, record_id=record_id, changed_at=at, known_at=known_at)


def _absent(record_id: str, known: KnownRecords) -> Drift:
    found = known.get(record_id)
    known_at = found.at if found else None
    return Drift(kind=DriftKind.ABSENT, record_id=record_id, known_at=known_at, detail=_INVISIBLE)


def _is_deleted(known: KnownRecords, record_id: str) -> bool:
    found = known.get(record_id)
    return found is not None and found.is_deleted


def _lacks(deleted: Deleted, window: ComparedWindow) -> Iterator[str]:
    if deleted.since > window.since:
        yield (
            f"the org no longer reports deletions before {shown(deleted.since)}, so earlier deletions "
            "are not compared"
        )
    if deleted.until < window.until:
        yield (
            f"the org does not report deletions after {shown(deleted.until)} yet, so later deletions "
            "are not compared"
        )
