"""Values to append, settle and compare."""

from collections.abc import Sequence
from dataclasses import dataclass

from streamer.events import (
    AttemptExchange,
    Channel,
    Checkpoint,
    ContinuityRecord,
    DeadLetter,
    Event,
    EventId,
    FailedAttempt,
    FailureClass,
    HoleCause,
    JsonObject,
    OrgId,
    Partition,
    Receipt,
    Repair,
    ReplayId,
    Stage,
    SubscriberName,
)
from streamer.ports import EventLog

ORG = OrgId("00D000000000001EAA")
CHANGES = Channel(org=ORG, path="/data/ChangeEvents")


def an_event(
    name: str | int,
    *,
    what: str = "salesforce.cdc.Account.updated",
    key: str | None = None,
    time: str = "2025-01-01T00:00:00.000Z",
    data: JsonObject | None = None,
) -> Event:
    """Return an event with the id `name`."""
    return Event(
        id=EventId(str(name)),
        source=f"//salesforce.com/{ORG}",
        type=what,
        subject=key,
        time=time,
        key=key or str(name),
        channel=CHANGES.path,
        replay_id=ReplayId(b"\x00\xff7"),
        data={"entity": "Account", "fields": {"Name": "Ünal & Söhne", "Zero": None}}
        if data is None
        else data,
    )


def a_checkpoint(at: int, *, channel: Channel = CHANGES) -> Checkpoint:
    """Return a checkpoint at the replay id `at`."""
    return Checkpoint(
        channel=channel,
        replay_id=ReplayId(str(at).encode()),
        verified_at=1735689600.25,
        positioned_at=1735689600.125,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Append:
    """A test's append: a checkpoint, and the records that it covers."""

    checkpoint: Checkpoint
    events: Sequence[Event] = ()
    set_aside: Sequence[DeadLetter] = ()
    continuity: Sequence[ContinuityRecord] = ()
    redriven: Sequence[str] = ()


async def append_to(log: EventLog, append: Append) -> None:
    """Append it in one go; raises what `add` and `commit` raise."""
    growing = log.begin(append.checkpoint.channel)
    growing.add(append.events)
    await growing.commit(
        append.checkpoint,
        set_aside=append.set_aside,
        continuity=append.continuity,
        redriven=append.redriven,
    )


def an_append(*events: Event, at: int = 1, channel: Channel = CHANGES) -> Append:
    """Return an append of `events` that moves the checkpoint to `at`."""
    return Append(checkpoint=a_checkpoint(at, channel=channel), events=events)


ATTEMPTS = (
    FailedAttempt(
        at=1735689600.25,
        seconds=0.125,
        failure=FailureClass.HTTP_5XX,
        error="ü 503",
        answer='{"error": "ü"}',
        exchange=AttemptExchange(
            request="POST https://erp.example.com/invoices/***",
            size=412,
            digest="0123456789abcdef",
            status=503,
            headers={"retry-after": "30", "x-request-id": "r:1"},
        ),
    ),
    FailedAttempt(
        at=1735689610.5,
        seconds=30.0,
        failure=FailureClass.TIMEOUT,
        error="timed out",
        exchange=AttemptExchange(request="GET https://erp.example.com/"),
    ),
)
"""Attempts that failed."""


def a_dead_letter(id_: str, *, stage: Stage = Stage.INGEST, error: str = "no such schema") -> DeadLetter:
    """Return a dead letter with every field filled."""
    return DeadLetter(
        id=id_,
        stage=stage,
        channel=CHANGES.path,
        reason="unreadable",
        error=error,
        hint="check the schema",
        failed_at=1735689600.5,
        first_failed_at=1735689600.0,
        replay_id=ReplayId(b"\x01\x02"),
        raw=b"\x00\xffraw",
        schema_id="Zx81QmVqT0aPq2n7kLw3Yg",
        event_uuid="6f0c1d2e-0000-4000-8000-000000000001",
        event=an_event("set-aside"),
        attempts=3,
        first_error="a time-out",
        answer="400",
        partition=Partition(topic="salesforce.cdc.Account", number=1),
        offset=17,
        failed_attempts=ATTEMPTS,
    )


def a_receipt(name: str) -> Receipt:
    """Return the receipt of the event `name`, with every field filled."""
    return Receipt(
        event_id=EventId(name),
        event_type="salesforce.cdc.Account.updated",
        event_key="001000000000001AAA",
        subscriber=SubscriberName("target"),
        attempts=2,
        first_tried_at=1735689600.5,
        delivered_at=1735689660.75,
        seconds=0.25,
        answer={"number": "Ü-1", "lines": [1, 2]},
        failed_attempts=ATTEMPTS[:1],
    )


def a_hole(detail: str = "the replay id had expired") -> ContinuityRecord:
    """Return a continuity record with every field filled."""
    return ContinuityRecord(
        id=f"refused:{detail}",
        channel=CHANGES,
        cause=HoleCause.REPLAY_ID_REFUSED,
        detail=detail,
        recorded_at=1735689600.0,
        state=Repair.FULL,
        entity="Account",
        after=ReplayId(b"17"),
        verified_at=1735680000.0,
        until=1735685000.0,
        progress={"locator": "MTAwMDA", "last": "001000000000001AAA"},
        found=7,
        published=5,
        updated_at=1735689700.0,
    )
