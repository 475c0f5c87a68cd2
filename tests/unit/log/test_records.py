"""What is written to a durable log is read back as it was."""

from dataclasses import replace
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.errors import LogMisconfigured
from streamer.events import (
    Channel,
    Checkpoint,
    ContinuityRecord,
    DeadLetter,
    Event,
    EventId,
    HoleCause,
    OrgId,
    ReplayId,
    Stage,
    SubscriberName,
)
from streamer.log import records
from tests.contracts.values import a_checkpoint, a_dead_letter, an_event

texts = st.text(st.characters(exclude_categories=["Cs"]))
times = st.floats(min_value=0, max_value=4e9)
replay_ids = st.builds(ReplayId, st.binary() | st.binary().map(lambda tail: b"base64:" + tail))
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(-1e9, 1e9) | texts,
    lambda inner: st.lists(inner) | st.dictionaries(texts, inner),
    max_leaves=10,
)
channels = st.builds(Channel, org=st.builds(OrgId, texts), path=texts)
events = st.builds(
    Event,
    id=st.builds(EventId, texts),
    source=texts,
    type=texts,
    subject=st.none() | texts,
    time=texts,
    key=texts,
    channel=texts,
    replay_id=replay_ids,
    data=st.dictionaries(texts, json_values),
)
checkpoints = st.builds(
    Checkpoint,
    channel=channels,
    replay_id=st.none() | replay_ids,
    verified_at=times,
    appended=st.lists(st.builds(EventId, texts)).map(tuple),
    open_replay_id=st.none() | replay_ids,
)
holes = st.builds(
    ContinuityRecord,
    channel=channels,
    cause=st.sampled_from(HoleCause),
    detail=texts,
    recorded_at=times,
    after=st.none() | replay_ids,
    verified_at=st.none() | times,
    repaired=st.booleans(),
)
dead_letters = st.builds(
    DeadLetter,
    id=texts,
    stage=st.sampled_from(Stage),
    channel=texts,
    reason=texts,
    error=texts,
    hint=texts,
    failed_at=times,
    first_failed_at=times,
    replay_id=st.none() | replay_ids,
    raw=st.binary(),
    event=st.none() | events,
    subscriber=st.none() | st.builds(SubscriberName, texts),
    attempts=st.integers(0, 1000),
    answer=texts,
)


@given(events)
def test_events_come_back(event: Event) -> None:
    """An event survives being written and read."""
    assert records.decode_event(records.encode_event(event)) == event


@given(checkpoints)
def test_checkpoints_come_back(checkpoint: Checkpoint) -> None:
    """A checkpoint survives being written and read."""
    assert records.decode_checkpoint(records.encode_checkpoint(checkpoint)) == checkpoint


@given(holes)
def test_continuity_records_come_back(record: ContinuityRecord) -> None:
    """A continuity record survives being written and read."""
    assert records.decode_continuity(records.encode_continuity(record)) == record


@given(dead_letters)
def test_dead_letters_come_back(letter: DeadLetter) -> None:
    """A dead letter survives being written and read."""
    assert records.decode_dead_letter(records.encode_dead_letter(letter)) == letter


def test_numeric_replay_id_is_readable_in_the_log() -> None:
    """A person who looks at a checkpoint sees the replay id that Salesforce shows."""
    assert orjson.loads(records.encode_checkpoint(a_checkpoint(4711)))["replay_id"] == "4711"


def test_unknown_keys_are_passed_over() -> None:
    """A newer Streamer may add keys that an older one does not know."""
    raw = orjson.dumps({**orjson.loads(records.encode_checkpoint(a_checkpoint(1))), "mood": "good"})

    assert records.decode_checkpoint(raw) == a_checkpoint(1)


def test_newer_version_is_refused_with_what_to_do() -> None:
    """A record that would be misread stops the daemon."""
    raw = orjson.dumps({**orjson.loads(records.encode_checkpoint(a_checkpoint(1))), "v": 2})

    with pytest.raises(LogMisconfigured, match=r"version 2.*reads up to 1"):
        records.decode_checkpoint(raw)


@pytest.mark.parametrize(
    "raw", [b"", b"{}", b"[]", b"null", b"17", b'{"v":"x"}', b'{"v":1,"org":1}', b"\xff"]
)
def test_foreign_record_is_refused(raw: bytes) -> None:
    """What Streamer did not write is never taken for a position."""
    with pytest.raises(LogMisconfigured, match="did not write"):
        records.decode_checkpoint(raw)


@pytest.mark.parametrize("value", ["\ud800", {1, 2}, 2**70])
def test_event_that_json_can_not_hold_is_still_set_aside(value: Any) -> None:
    """Its text is kept, for a dead letter must never fail to be written."""
    event = an_event("odd", data={"entity": "Account", "fields": {"Odd": value}})
    letter = replace(a_dead_letter("odd"), event=event, raw=b"", error="half \ud800 a pair")

    kept = records.decode_dead_letter(records.encode_dead_letter(letter))

    assert b"'Odd': " in kept.raw
    assert kept.error == r"half \ud800 a pair"


def test_infinity_is_not_json() -> None:
    """A number without a JSON form becomes null, as orjson does it, and can be read back."""
    event = an_event("e", data={"n": float("inf")})

    assert records.decode_event(records.encode_event(event)).data == {"n": None}
