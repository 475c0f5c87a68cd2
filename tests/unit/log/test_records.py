"""Values written to a durable log are read back unchanged."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.controls import AuditRecord, Control, LetterFilter, Redrive, SnapshotOrder, Switch, Wanted
from streamer.errors import LogMisconfigured
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
    HoleAcknowledgement,
    HoleCause,
    OrgId,
    Partition,
    Receipt,
    Repair,
    ReplayId,
    Setback,
    SnapshotSelection,
    Stage,
    SubscriberName,
)
from streamer.log import records
from tests.contracts.values import a_checkpoint, a_dead_letter, a_hole, a_receipt, an_event
from tests.messages import CHANGES

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
    receipts=st.none() | st.dictionaries(texts, json_values),
)
checkpoints = st.builds(
    Checkpoint,
    channel=channels,
    replay_id=st.none() | replay_ids,
    verified_at=times,
    appended=st.lists(st.builds(EventId, texts)).map(tuple),
    open_replay_id=st.none() | replay_ids,
    skips_after=st.none() | replay_ids,
)
holes = st.builds(
    ContinuityRecord,
    id=texts,
    channel=channels,
    cause=st.sampled_from(HoleCause),
    detail=texts,
    recorded_at=times,
    after=st.none() | replay_ids,
    verified_at=st.none() | times,
    state=st.sampled_from(Repair),
    entity=st.none() | texts,
    record=st.none() | texts,
    until=st.none() | times,
    progress=st.dictionaries(texts, json_values),
    found=st.integers(0, 2**53),
    published=st.integers(0, 2**53),
    updated_at=st.none() | times,
    acknowledged=st.none() | st.builds(HoleAcknowledgement, by=texts, at=times, reason=texts),
    selection=st.none()
    | st.builds(SnapshotSelection, where=texts, fields=st.lists(texts).map(tuple), since=st.none() | times),
)
names = st.builds(SubscriberName, texts)
short = texts.map(lambda text: text[:200])
exchanges = st.builds(
    AttemptExchange,
    request=st.from_regex(r"(POST|GET) https://[a-z]{1,9}\.com/[a-z/]{0,9}", fullmatch=True),
    size=st.integers(0, 2**32 - 1),
    digest=st.from_regex(r"([0-9a-f]{16})?", fullmatch=True),
    status=st.none() | st.integers(100, 599),
    headers=st.dictionaries(st.sampled_from(["retry-after", "content-type"]), st.sampled_from(["1", "ü:2"])),
)
failures = st.builds(
    FailedAttempt,
    at=times,
    seconds=times,
    failure=st.sampled_from(FailureClass),
    error=short,
    answer=short,
    exchange=st.none() | exchanges,
)


def added(several: list[FailedAttempt]) -> tuple[FailedAttempt, ...]:
    """Return the attempts in the form in which a record keeps them."""
    kept: tuple[FailedAttempt, ...] = ()
    for each in several:
        kept = each.added_to(kept)
    return kept


attempts = st.lists(failures, max_size=6).map(added)
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
    schema_id=texts,
    event_uuid=texts,
    event=st.none() | events,
    subscriber=st.none() | names,
    attempts=st.integers(0, 1000),
    first_error=texts,
    answer=texts,
    partition=st.none() | st.builds(Partition, topic=texts, number=st.integers(0, 2**31)),
    offset=st.none() | st.integers(0, 2**53),
    failed_attempts=attempts,
)
receipts = st.builds(
    Receipt,
    event_id=st.builds(EventId, texts),
    event_type=texts,
    event_key=texts,
    subscriber=names,
    attempts=st.integers(1, 1000),
    first_tried_at=times,
    delivered_at=times,
    seconds=times,
    answer=st.dictionaries(texts, json_values),
    failed_attempts=attempts,
)
setbacks = st.builds(
    Setback,
    attempts=st.integers(1, 1000),
    first_failed_at=times,
    due_at=times,
    first_error=texts,
    last_error=texts,
    failed_attempts=attempts,
)
controls = st.builds(
    Control, subscriber=names, switch=st.sampled_from(Switch), by=texts, at=times, reason=texts
)
redrives = st.builds(
    Redrive,
    id=texts,
    letters=st.builds(
        LetterFilter,
        channel=st.none() | texts,
        subscriber=st.none() | names,
        key=st.none() | texts,
        reason=st.none() | texts,
        error=st.none() | texts,
        failed_from=st.none() | times,
        failed_before=st.none() | times,
    ),
    per_second=times,
    by=texts,
    at=times,
    skipped=st.frozensets(texts),
    ended_at=st.none() | times,
)
snapshot_orders = st.builds(
    SnapshotOrder,
    id=texts,
    channel=texts,
    entity=texts,
    where=texts,
    fields=st.lists(texts).map(tuple),
    wanted=st.sampled_from(Wanted),
    by=texts,
    at=times,
    ended_at=st.none() | times,
)
audit_records = st.builds(
    AuditRecord,
    at=times,
    what=texts,
    by=texts,
    subscriber=st.none() | names,
    detail=st.dictionaries(texts, json_values),
)
KINDS: dict[str, tuple[st.SearchStrategy[Any], Callable[[Any], bytes], Callable[[bytes], Any]]] = {
    "event": (events, records.encode_event, records.decode_event),
    "checkpoint": (checkpoints, records.encode_checkpoint, records.decode_checkpoint),
    "hole": (holes, records.encode_continuity, records.decode_continuity),
    "dead letter": (
        dead_letters,
        lambda letter: records.encode_dead_letter(letter).body,
        records.decode_dead_letter,
    ),
    "receipt": (receipts, records.encode_receipt, records.decode_receipt),
    "setback": (setbacks, records.encode_setback, records.decode_setback),
    "control": (controls, records.encode_control, records.decode_control),
    "redrive": (redrives, records.encode_redrive, records.decode_redrive),
    "snapshot order": (snapshot_orders, records.encode_snapshot_order, records.decode_snapshot_order),
    "audit record": (audit_records, records.encode_audit, records.decode_audit),
}


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
def test_values_come_back(kind: str, data: st.DataObject) -> None:
    """Each value survives being written and read, in one line of text."""
    values, encode, decode = KINDS[kind]
    value = data.draw(values)

    assert decode(encode(value)) == value
    assert b"\n" not in encode(value)


def test_checkpoint_of_the_former_format_is_read() -> None:
    """It skips nothing."""
    fields = orjson.loads(records.encode_checkpoint(a_checkpoint(1)))
    del fields["skips_after"]

    assert records.decode_checkpoint(orjson.dumps(fields)) == a_checkpoint(1)


@pytest.mark.parametrize(("repaired", "state"), [(True, Repair.FULL), (False, Repair.NONE)])
def test_hole_of_the_former_format_is_read(repaired: bool, state: Repair) -> None:  # noqa: FBT001 - a parameter of the test
    """It gets an id, and a final state."""
    fields = orjson.loads(records.encode_continuity(a_hole()))
    kept = {name: fields[name] for name in ("v", "org", "path", "cause", "detail", "recorded_at", "after")}
    former = orjson.dumps({**kept, "verified_at": None, "repaired": repaired})

    record = records.decode_continuity(former, former_id="former:3")
    assert (record.id, record.state, record.is_new) == ("former:3", state, True)
    assert (record.channel, record.after) == (a_hole().channel, a_hole().after)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("id", 7),
        ("org", None),
        ("cause", "unheard_of"),
        ("state", "mended"),
        ("recorded_at", 1e300),
        ("until", -1),
        ("found", 0.5),
        ("published", True),
        ("progress", [1]),
        ("record", 7),
        ("after", "base64:?"),
    ],
)
def test_hole_with_a_field_of_another_kind_is_refused(name: str, value: object) -> None:
    """Whoever lists the holes could not show it."""
    fields = orjson.loads(records.encode_continuity(a_hole()))

    with pytest.raises(LogMisconfigured, match="a continuity record that Streamer did not write"):
        records.decode_continuity(orjson.dumps({**fields, name: value}))


def test_hole_whose_texts_no_json_holds_is_written_all_the_same() -> None:
    """An id of Salesforce's with half a surrogate pair must not stop the channel."""
    hole = replace(a_hole("half \ud800"), entity="E\udfff")

    assert records.decode_continuity(records.encode_continuity(hole)).detail == "half \\ud800"


def test_numeric_replay_id_is_readable_in_the_log() -> None:
    """A person who reads a checkpoint sees the replay id that Salesforce shows."""
    assert orjson.loads(records.encode_checkpoint(a_checkpoint(4711)))["replay_id"] == "4711"


def test_unknown_keys_are_passed_over() -> None:
    """A newer Streamer can add keys that an older one does not know."""
    raw = orjson.dumps({**orjson.loads(records.encode_checkpoint(a_checkpoint(1))), "mood": "good"})

    assert records.decode_checkpoint(raw) == a_checkpoint(1)


def test_redrive_of_some_letters_is_not_taken_for_one_of_all_by_who_does_not_know_them() -> None:
    """An older Streamer refuses one of single ids, a channel or a whole error; others are as before."""
    by_ids = LetterFilter(ids=frozenset({"1:target"}), error="422", failed_before=1.0)
    by_channel = replace(by_ids, channel=CHANGES.path)
    orders = [
        Redrive(id="r", letters=letters, per_second=1.0, by="operator", at=1.0)
        for letters in (replace(by_channel, error="=422"), by_channel, by_ids, replace(by_ids, ids=None))
    ]
    written = [records.encode_redrive(order) for order in orders]

    assert [orjson.loads(raw)["v"] for raw in written] == [4, 3, 2, 1]
    assert [records.decode_redrive(raw) for raw in written] == orders


def test_newer_version_is_refused_with_what_to_do() -> None:
    """A record of a newer version stops the daemon."""
    raw = orjson.dumps({**orjson.loads(records.encode_checkpoint(a_checkpoint(1))), "v": 2})

    with pytest.raises(LogMisconfigured, match=r"version 2.*reads only up to 1"):
        records.decode_checkpoint(raw)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "raw", [b"", b"{}", b"[]", b"null", b"17", b'{"v":"x"}', b'{"v":1,"org":1}', b"\xff"]
)
def test_foreign_record_is_refused(kind: str, raw: bytes) -> None:
    """A foreign record is never taken for a position, or for anything else."""
    _, _, decode = KINDS[kind]
    with pytest.raises(LogMisconfigured, match="did not write"):
        decode(raw)


@pytest.mark.parametrize("value", ["\ud800", {1, 2}, 2**70])
def test_event_that_json_can_not_hold_is_still_set_aside(value: Any) -> None:
    """Its text is kept, because writing a dead letter must never fail."""
    event = an_event("odd", data={"entity": "Account", "fields": {"Odd": value}})
    letter = replace(a_dead_letter("odd"), event=event, raw=b"", error="half \ud800 a pair")

    kept = records.decode_dead_letter(records.encode_dead_letter(letter).body)

    assert b"'Odd': " in kept.raw
    assert kept.error == r"half \ud800 a pair"


@given(letter=dead_letters)
def test_head_of_a_letter_is_kept_beside_it(letter: DeadLetter) -> None:
    """A list needs no more, and reads no content."""
    body, head = records.encode_dead_letter(letter)

    kept = records.decode_letter_head(head)

    assert kept == records.decode_dead_letter(body).head
    assert (kept.size, records.letter_head(body)) == (len(body), head)


def test_event_that_no_log_could_store_is_cut() -> None:
    """No letter takes more than a bound, whatever made it large."""
    event = an_event("huge", data={"entity": "Account", "fields": {"Text": "x" * 13 * 1024 * 1024}})
    letter = replace(a_dead_letter("huge"), event=event, raw=b"")

    body, head = records.encode_dead_letter(letter)

    kept = records.decode_dead_letter(body)
    assert len(body) < 200_000
    assert (kept.event, kept.raw[:5], kept.has_raw) == (None, b'{"v":', False)
    assert kept.whole_size > 13 * 1024 * 1024
    assert records.decode_letter_head(head).key is None


def test_head_does_not_promise_an_event_that_the_letter_has_lost() -> None:
    """No order can deliver a letter whose event JSON can't hold."""
    event = an_event("odd", data={"entity": "Account", "fields": {"Odd": "\ud800"}})
    letter = replace(a_dead_letter("odd"), event=event, raw=b"")

    kept = records.decode_letter_head(records.encode_dead_letter(letter).head)

    assert (letter.head.key, kept.key, kept.has_raw) == (event.key, None, True)


@pytest.mark.parametrize("value", ["\ud800", {1, 2}, 2**70])
def test_answer_that_json_can_not_hold_does_not_cost_the_receipt(value: Any) -> None:
    """Its text is kept, because a delivery must be recorded."""
    receipt = replace(a_receipt("1"), answer={"odd": value})

    kept = records.decode_receipt(records.encode_receipt(receipt))

    assert kept.answer["text"].startswith("{'odd': ")
    assert replace(kept, answer=receipt.answer) == receipt


def test_odd_characters_do_not_keep_anything_from_being_switched_or_noted() -> None:
    """An operator's words are kept as well as possible."""
    odd = "half \ud800 a pair"
    control = Control(subscriber=SubscriberName("t"), switch=Switch.PAUSED, by="operator", at=1.0, reason=odd)
    redrive = Redrive(
        id="r",
        letters=LetterFilter(error=odd),
        per_second=1.0,
        by="operator",
        at=1.0,
        skipped=frozenset({odd}),
    )
    audit = AuditRecord(at=1.0, what="x.done", by=odd, detail={"reason": odd})

    assert records.decode_control(records.encode_control(control)).reason == r"half \ud800 a pair"
    assert records.decode_redrive(records.encode_redrive(redrive)).letters.error == r"half \ud800 a pair"
    assert r"half \ud800 a pair" in records.decode_audit(records.encode_audit(audit)).detail["text"]


def test_dead_letter_of_an_older_streamer_is_read() -> None:
    """It had neither the first error nor the schema, nor the offset of the event."""
    fields = orjson.loads(records.encode_dead_letter(a_dead_letter("old")).body)
    for added in ("first_error", "schema_id", "event_uuid", "topic", "partition", "offset"):
        del fields[added]

    assert records.decode_dead_letter(orjson.dumps(fields)) == replace(
        a_dead_letter("old"), first_error="", schema_id="", event_uuid="", partition=None, offset=None
    )


def test_infinity_is_not_json() -> None:
    """A number without a JSON form becomes null, as orjson does it, and can be read back."""
    event = an_event("e", data={"n": float("inf")})

    assert records.decode_event(records.encode_event(event)).data == {"n": None}


def test_record_of_a_newer_streamer_can_have_a_new_kind_of_failure() -> None:
    """It is read as any other failure."""
    written = records.encode_receipt(a_receipt("1")).replace(b"http_5xx", b"http_6xx")

    assert [each.failure for each in records.decode_receipt(written).failed_attempts] == [FailureClass.OTHER]


def test_attempts_of_an_older_streamer_have_no_exchange() -> None:
    """Its records have four fields for each attempt, and an older Streamer reads only these four."""
    written = orjson.loads(records.encode_receipt(a_receipt("1")))
    [attempt] = written["failed_attempts"]
    older = {name: attempt[name] for name in ("at", "seconds", "failure", "error")}
    read = records.decode_receipt(orjson.dumps({**written, "failed_attempts": [older]}))

    assert [(each.answer, each.exchange) for each in read.failed_attempts] == [("", None)]


def test_record_without_failures_is_as_short_as_before() -> None:
    """Nearly every receipt is of that kind, and an older Streamer wrote no such field."""
    receipt = replace(a_receipt("1"), failed_attempts=())
    written = records.encode_receipt(receipt)

    assert b"failed_attempts" not in written
    assert records.decode_receipt(written) == receipt
