"""Findings: problems in dead letters, subscribers, continuity records and channels that need a person."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from streamer.admin.problems.groups import OpenProblem, ProblemKind
from streamer.channel_paths import ChannelKind, changed_entity
from streamer.continuity import has_records_of, reason_of
from streamer.controls import Control, Redrive, Switch, can_be_ingested, can_be_redriven
from streamer.events import (
    Channel,
    ContinuityRecord,
    HoleCause,
    LetterHead,
    Repair,
    SubscriberName,
)
from streamer.ingest.channel_supervisor import ChannelState, ChannelStatus
from streamer.ingest.positions.holes import record_of_gap
from streamer.observe.subscriber_status import ParkedKeys, SubscriberStatus
from streamer.ports import StoredCheckpoint

HOLE_SHOWN_S = 7 * 24 * 3600.0
"""Time for which a hole that nothing repairs is a problem."""

_OPERATOR = frozenset({HoleCause.POSITION_SET, HoleCause.POSITION_REFUSED, HoleCause.SNAPSHOT})
_NOT_OPERATORS = frozenset({"guard", "target"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessCondition:
    """Condition of this process.

    `waits` are the reasons why the process waits for the log or the login. `channels`
    are the channels that it owns. `verified_at` has, for each channel, the time up to
    which no event is missing. `blocked_plugins` has the reasons why plugins can't be
    opened.
    """

    waits: Sequence[str] = ()
    channels: Mapping[Channel, ChannelStatus] = field(default_factory=dict)
    verified_at: Mapping[Channel, float] = field(default_factory=dict)
    blocked_plugins: Mapping[SubscriberName, str] = field(default_factory=dict)


def letter_problem(letter: LetterHead) -> OpenProblem:
    """Return the problem of one dead letter."""
    is_of_ingest = letter.subscriber is None
    return OpenProblem(
        kind=ProblemKind.DEAD_LETTERS,
        reason=letter.reason,
        error=letter.error,
        subscriber=letter.subscriber,
        channel=letter.channel_path if is_of_ingest else None,
        since=letter.failed_at,
        latest=letter.failed_at,
        can_be_repeated=can_be_ingested(letter) if is_of_ingest else can_be_redriven(letter),
    )


def is_in_work(letter: LetterHead, orders: Collection[Redrive]) -> bool:
    """Return true for a dead letter that an open redrive covers, so that it needs no attention now."""
    return any(order.admits(letter) for order in orders)


def parked_problems(name: SubscriberName, parked: ParkedKeys) -> Iterator[OpenProblem]:
    """Yield a problem for each listed parked key whose attempts fail.

    Its count is the number of the key's events.

    A key without an attempt waits for another subscriber, or for its turn in a redrive.
    """
    for key in (each for each in parked.keys if each.attempts):
        yield OpenProblem(
            kind=ProblemKind.PARKED,
            error=key.last_error,
            subscriber=name,
            since=key.first_failed_at,
            latest=key.first_failed_at,
            count=key.events,
        )


def subscriber_problem(
    name: SubscriberName, control: Control | None, status: SubscriberStatus | None
) -> OpenProblem | None:
    """Return the reason why a subscriber does not deliver in time, or `None` while it does.

    `status` is `None` in a process that does not deliver to the subscriber.
    """
    if control is not None and control.switch is Switch.PAUSED:
        return _paused(name, control)
    if status is None:
        return None
    last = status.last_failure
    since = last.since if last is not None else None
    if status.is_down:
        error = last.error if last is not None else status.hindrance
        return _of(name, ProblemKind.TARGET_DOWN, error, status.down_since, status.lag)
    # A target that only asks for a pause needs no attention: its hold is not a failure.
    if status.is_held and last is not None and last.error == status.hindrance:
        return _of(name, ProblemKind.HELD, status.hindrance, since, status.lag)
    # Keys that are parked after failures are problems of their own.
    if status.lateness and not (status.parked and last is not None):
        waiting = status.lag + status.parked
        return _of(name, ProblemKind.LATE, status.lateness, status.oldest_at, waiting)
    return None


def _of(
    name: SubscriberName, kind: ProblemKind, error: str, since: float | None, waiting: int
) -> OpenProblem:
    return OpenProblem(
        kind=kind, error=error, subscriber=name, since=since, latest=since, count=max(1, waiting)
    )


def _paused(name: SubscriberName, control: Control) -> OpenProblem:
    is_own = control.by in _NOT_OPERATORS
    return OpenProblem(
        kind=ProblemKind.DISABLED if is_own else ProblemKind.PAUSED,
        reason=control.by,
        error=control.reason,
        subscriber=name,
        since=control.at,
        latest=control.at,
    )


def hole_problems(records: Sequence[ContinuityRecord], now: float) -> Iterator[OpenProblem]:
    """Yield a problem for each repair that waits, and for each lasting hole.

    A hole that an operator ordered is not a problem.
    """
    lasting = {each.id for each in lasting_holes(records, now)}
    for record in records:
        waits = reason_of(record.progress) if record.state is Repair.OPEN else ""
        if waits and record.cause not in _OPERATOR:
            yield _hole(record, ProblemKind.REPAIR_WAITS, waits)
        elif record.id in lasting:
            yield _hole(record, ProblemKind.HOLE, record.detail)


def lasting_holes(records: Sequence[ContinuityRecord], now: float) -> Iterator[ContinuityRecord]:
    """Yield the recent holes that no repair fills, and that no operator ordered.

    A complete snapshot of the same object, ordered after the hole was recorded, fills
    the hole. After seven days, or after an operator has acknowledged it, a hole needs
    no attention any more.
    """
    snapshots = [each for each in records if each.cause is HoleCause.SNAPSHOT and each.state is Repair.FULL]
    for record in records:
        is_recent = (record.updated_at or record.recorded_at) > now - HOLE_SHOWN_S
        is_unfilled = record.is_unrepaired and not _is_covered(record, snapshots)
        needs_somebody = is_recent and record.acknowledged is None
        if record.cause not in _OPERATOR and needs_somebody and is_unfilled:
            yield record


def _hole(record: ContinuityRecord, kind: ProblemKind, error: str) -> OpenProblem:
    path = record.channel.path
    missing = record_of_gap(record)
    return OpenProblem(
        kind=kind,
        reason=record.cause,
        error=error,
        channel=path,
        entity=record.entity or changed_entity(path),
        records=() if missing is None else (missing,),
        since=record.recorded_at,
        latest=record.recorded_at,
    )


def _is_covered(record: ContinuityRecord, snapshots: Iterable[ContinuityRecord]) -> bool:
    entity = record.entity or changed_entity(record.channel.path)
    return any(
        entity is not None
        and each.entity == entity
        and each.recorded_at >= record.recorded_at
        and has_records_of(each, record)
        for each in snapshots
    )


def position_problems(
    stored: Iterable[StoredCheckpoint], paths: Collection[str], now: float
) -> Iterator[OpenProblem]:
    """Yield a problem for each configured channel whose position Salesforce soon no longer retains."""
    for each in stored:
        channel, verified_at = each.checkpoint.channel, each.checkpoint.verified_at
        # Salesforce itself repeats an outbound message until Streamer acknowledges it.
        is_retained = ChannelKind.of(channel.path) is not ChannelKind.OUTBOUND
        if not (verified_at and is_retained and channel.path in paths):
            continue
        if channel.expires_soon(verified_at, now):
            yield OpenProblem(
                kind=ProblemKind.POSITION_EXPIRES,
                reason="expired" if channel.expires_at(verified_at) <= now else "expires",
                channel=channel.path,
                since=verified_at,
                latest=verified_at,
            )


def process_problems(condition: ProcessCondition) -> Iterator[OpenProblem]:
    """Yield the problems of this process: its waits, stopped channels, and plugins that can't be opened."""
    for wait in condition.waits:
        yield OpenProblem(kind=ProblemKind.PROCESS_WAITS, error=wait)
    for channel, found in condition.channels.items():
        if found.state is ChannelState.STOPPED:
            since = condition.verified_at.get(channel)
            yield OpenProblem(
                kind=ProblemKind.CHANNEL_REFUSED,
                error=found.reason,
                channel=channel.path,
                since=since,
                latest=since,
            )
    for name, reason in condition.blocked_plugins.items():
        yield OpenProblem(kind=ProblemKind.PLUGIN_NOT_OPEN, error=reason, subscriber=name)
