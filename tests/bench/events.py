"""Events like those of a medium-sized org, and their append to the log."""

import time
from collections.abc import Sequence

from streamer.events import Channel, Checkpoint, Event, EventId, OrgId, ReplayId
from streamer.ports import EventLog

CHANNEL = Channel(org=OrgId("00D000000000001EAA"), path="/data/ChangeEvents")


def a_change(number: int, record: str) -> Event:
    """Return a change event of about 1 KB of one record; the ids of later ones come later in the alphabet."""
    fields = {f"Field{n}__c": f"{number * 7919 % 100_003} of {n} and some words" for n in range(22)}
    return Event(
        id=EventId(f"0004d3a1-7b0e-{number:012d}:1:{record}"),
        source="//acme.my.salesforce.com/00D000000000001EAA",
        type="salesforce.cdc.Account.updated",
        subject=record,
        time="2026-11-01T00:00:00.000Z",
        key=record,
        channel=CHANNEL.path,
        replay_id=ReplayId(b"%d" % number),
        data={"entity": "Account", "record_id": record, "fields": fields, "changed_fields": list(fields)[:8]},
    )


def record_id(number: int, records: int) -> str:
    """Return the record that event `number` is of; so many come in turn."""
    return f"001{number % records:012d}AAA"


async def append(log: EventLog, events: Sequence[Event]) -> None:
    """Append `events` with the checkpoint behind them; return when they are committed."""
    growing = log.begin(CHANNEL)
    growing.add(events)
    position = events[-1].replay_id
    await growing.commit(Checkpoint(channel=CHANNEL, replay_id=position, verified_at=time.time()))
