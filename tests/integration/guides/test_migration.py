"""docs/migration.md shows the same change as the former connector's record and as Streamer's."""

import json
import re
from typing import Any

from streamer.events import Channel, OrgId
from streamer.log.kafka.cluster.names import Names
from streamer.log.kafka.records.events import EventEncoder
from streamer.normalise import normaliser_for
from streamer.settings import KafkaLogSettings
from tests.integration.guides.pages import page
from tests.messages import events_of

GUIDE = page("docs/migration.md")
BEFORE, AFTER = map(json.loads, re.findall(r"^```json\n(.*?)^```", GUIDE, flags=re.DOTALL | re.MULTILINE))
# The parts of the former record that are not fields of the contact.
ADDED = {"Id", "ReplayId", "ChangeEventHeader", "_EventType", "_ObjectType"}


def message() -> dict[str, Any]:
    """Return the message of Salesforce from which the former record was made."""
    header = BEFORE["ChangeEventHeader"]
    fields = {name: BEFORE[name] for name in header["changedFields"]}
    cleared = [name for name, value in fields.items() if value is None]
    payload = {"ChangeEventHeader": header | {"nulledFields": cleared}, **fields}
    event = {"replayId": int(BEFORE["ReplayId"])}
    return {"channel": AFTER["headers"]["ce_sfchannel"], "data": {"payload": payload, "event": event}}


def test_record_is_the_one_that_streamer_writes() -> None:
    """The message behind the left record gives the right one: key, headers and value."""
    org = OrgId(AFTER["headers"]["ce_source"].rpartition("/")[2])
    channel = Channel(org=org, path=AFTER["headers"]["ce_sfchannel"])
    [event] = events_of(normaliser_for(channel), message())
    record = EventEncoder(Names.of(KafkaLogSettings(bootstrap_servers="nowhere:9092")), "binary").encode(
        event, 2**42
    )

    assert record.key is not None
    assert record.key.decode() == AFTER["key"]
    assert {name: as_text(value) for name, value in record.headers.items()} == AFTER["headers"]
    assert json.loads(record.value or b"") == AFTER["value"]


def test_former_record_hides_which_fields_were_cleared() -> None:
    """As the text says: an unchanged field and a cleared one are both null on the left."""
    unchanged = BEFORE.keys() - ADDED - set(BEFORE["ChangeEventHeader"]["changedFields"])

    assert (
        {BEFORE[name] for name in unchanged}
        == {None}
        == {BEFORE[name] for name in AFTER["value"]["nulled_fields"]}
    )
    assert unchanged.isdisjoint(AFTER["value"]["fields"])


def as_text(value: str | bytes | None) -> str | None:
    """Return a header's value as consumers read it."""
    return value.decode() if isinstance(value, bytes) else value
