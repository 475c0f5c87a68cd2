"""CometD messages for tests."""

from collections.abc import Sequence
from typing import Any

from streamer.events import Batch, Channel, Event, OrgId
from streamer.normalise import Normaliser

ORG = OrgId("00DXX0000000001EAA")
CHANGES = Channel(org=ORG, path="/data/ChangeEvents")
ORDERS = Channel(org=ORG, path="/event/Order_Placed__e")


def change(
    replay_id: int,
    *record_ids: str,
    kind: str = "UPDATE",
    entity: str = "Account",
    transaction: str = "t1",
    **fields: Any,
) -> dict[str, Any]:
    """Return a change message; the transaction's key is made of its replay id unless given."""
    header = {
        "entityName": entity,
        "recordIds": list(record_ids) or ["001A"],
        "changeType": kind,
        "changeOrigin": "com/salesforce/api/rest/61.0;client=erp-sync",
        "transactionKey": f"{transaction}-{replay_id}",
        "sequenceNumber": 1,
        "commitTimestamp": 1_735_689_600_000 + replay_id,
        "commitNumber": 987_654_321,
        "commitUser": "005AB00000USER1YAA",
        "changedFields": list(fields),
    }
    return {
        "channel": CHANGES.path,
        "data": {
            "schema": "Zx81QmVqT0aPq2n7kLw3Yg",
            "payload": {"ChangeEventHeader": header, **fields},
            "event": {"replayId": replay_id},
        },
    }


def order(replay_id: int, **fields: Any) -> dict[str, Any]:
    """Return a platform event message."""
    return {
        "channel": ORDERS.path,
        "data": {
            "schema": "e8jMOnID4xDThlaPBMx5gg",
            "payload": {
                "CreatedDate": "2025-01-01T00:00:00.517Z",
                "CreatedById": "005AB00000USER1YAA",
                **fields,
            },
            "event": {
                "EventUuid": f"6f0c1d2e-0000-4000-8000-{replay_id:012d}",
                "EventApiName": "Order_Placed__e",
                "replayId": replay_id,
            },
        },
    }


def batch(*messages: Any, channel: Channel = CHANGES, at: float = 1_735_690_000.0) -> Batch:
    """Return what one read gave."""
    read: Sequence[Any] = messages
    return Batch(channel=channel, read_at=at, messages=read)


def events_of(normalise: Normaliser, *messages: Any) -> list[Event]:
    """Return the events of messages that can all be read."""
    read = normalise(messages)
    events = [item for item in read if isinstance(item, Event)]
    assert len(events) == len(read), read
    return events
