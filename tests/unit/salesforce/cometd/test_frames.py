"""The bytes of an answer, cut into messages."""

import time
from contextlib import suppress
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.events import ReplayId
from streamer.salesforce.cometd.answer import BayeuxResponse
from streamer.salesforce.cometd.protocol import Oversized, TornBody, channels_named_in, parse, split

_scalars = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text()
_values = st.recursive(
    _scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4)
)
_messages = st.lists(st.dictionaries(st.text(), _values, max_size=4), max_size=6)

BAD = b'{"channel":"/data/ChangeEvents","data":{"payload":{"Name":"\xff,]"},"event":{"replayId":17}}}'
GOOD = {"channel": "/data/ChangeEvents", "data": {"payload": {"Name": '"],['}, "event": {"replayId": 18}}}
REPLY = {"channel": "/meta/connect", "successful": True}


@given(_messages, st.sampled_from([0, orjson.OPT_INDENT_2]))
def test_splitter_finds_the_elements_that_json_finds(messages: list[Any], layout: int) -> None:
    """Whatever strings hold, the pieces are the messages."""
    assert [orjson.loads(piece) for piece in split(orjson.dumps(messages, option=layout))] == messages


@given(_messages.filter(bool), st.data())
def test_torn_array_is_never_taken_for_a_whole_one(messages: list[Any], data: st.DataObject) -> None:
    """A body that ends early raises, wherever it ends."""
    body = orjson.dumps(messages)
    end = data.draw(st.integers(0, len(body) - 1))
    with pytest.raises(TornBody):
        parse(body[:end])


@given(st.binary())
def test_any_bytes_are_read_or_called_torn(body: bytes) -> None:
    """Rubbish raises nothing else."""
    try:
        parse(body)
    except TornBody:
        return


@pytest.mark.parametrize("body", [b"<html></html>", b"", b"[{}] x", b"{} {", b'["'])
def test_what_is_no_json_is_torn(body: bytes) -> None:
    """A proxy's page is not a message that can't be read."""
    with pytest.raises(TornBody):
        parse(body)


def test_single_object_is_one_message() -> None:
    """Bayeux allows an object in place of an array."""
    assert parse(orjson.dumps(REPLY)).messages == [REPLY]


def test_one_bad_message_costs_only_itself() -> None:
    """The others are read; the bad one keeps its bytes and its replay id."""
    frame = parse(b"[" + BAD + b"," + orjson.dumps(GOOD) + b", " + orjson.dumps(REPLY) + b"]")
    assert frame.messages == [GOOD, REPLY]
    assert [(piece.raw, piece.replay_id) for piece in frame.unreadable] == [(BAD, ReplayId(b"17"))]


@pytest.mark.parametrize(
    ("written", "known"),
    [
        (b'"data": {"schema":"Zx81QmVqT0aPq2n7kLw3Yg", "payload":{"Name":"\xff"}}', "Zx81QmVqT0aPq2n7kLw3Yg"),
        (b'"data":{"payload":{"schema":"Zx81QmVqT0aPq2n7kLw3Yg","Name":"\xff"}}', ""),
        (b'"data":{"payload":{"Name":"\\"data\\":{\\"schema\\":\\"no\\"}\xff"}}', ""),
        (b'"data":{"schema":"no id, \xff"}', ""),
        (b'"data":{"schema":"' + b"x" * 101 + b'","payload":"\xff"}', ""),
    ],
)
def test_bad_message_keeps_the_id_of_its_schema(written: bytes, known: str) -> None:
    """Only what stands where Salesforce writes it, and can be one."""
    frame = parse(b'[{"channel":"/data/ChangeEvents",' + written + b"}]")
    assert [piece.schema_id for piece in frame.unreadable] == [known]


@pytest.mark.parametrize(
    "bad", [b'{"n":NaN}', b'{"n":{]}', b'{"n":"\\x"}', b"{n}", b'{"n":1' + b"0" * 999 + b"}"]
)
def test_all_kinds_of_bad_messages_are_set_apart(bad: bytes) -> None:
    """NaN, wrong brackets, wrong escapes and absurd numbers are one message's fault."""
    body = b"[" + orjson.dumps(GOOD) + b"," + bad + b"," + orjson.dumps(REPLY) + b"]"
    frame = parse(body)
    assert frame.messages == [GOOD, REPLY]
    assert len(frame.unreadable) == 1


@pytest.mark.parametrize("hole", [b"{", b"}", b"[", b'"', b'"}', b"}}}]]"])
def test_message_that_leaves_something_open_costs_only_itself(hole: bytes) -> None:
    """The last message is whole, so nothing was lost in transit: this answer would come again and again."""
    bad = (
        b'{"channel":"/data/ChangeEvents","data":{"payload":{"Name":' + hole + b'},"event":{"replayId":17}}}'
    )
    frame = parse(b"[" + b",".join([orjson.dumps(GOOD), bad, orjson.dumps(REPLY)]) + b"]")

    assert frame.messages == [GOOD, REPLY]
    assert [(piece.raw, piece.replay_id) for piece in frame.unreadable] == [(bad, ReplayId(b"17"))]


@given(st.data())
def test_answer_that_ends_early_is_torn_wherever_it_ends(data: st.DataObject) -> None:
    """Also behind a bracket of a message, where it ends as an answer does."""
    fields = {"Lines__c": [{"channel": "phone"}, {"data": [1]}], "Name": ["a", {"b": []}]}
    message = {"channel": "/data/ChangeEvents", "data": {"payload": fields, "event": {"replayId": 18}}}
    body = orjson.dumps([GOOD, message, GOOD, message, REPLY])
    end = data.draw(st.sampled_from([n for n in range(1, len(body)) if body[n - 1 : n] in {b"]", b"}"}]))
    with pytest.raises(TornBody):
        parse(body[:end])


def test_unreadable_message_goes_to_the_channel_it_names() -> None:
    """The channel is found in the bytes."""
    answer = BayeuxResponse.of(200, b"[" + BAD + b"," + orjson.dumps(REPLY) + b"]")
    found = answer.unreadable_of(["/data/AccountChangeEvent", "/data/ChangeEvents"])
    assert {path: [piece.raw for piece in pieces] for path, pieces in found.items()} == {
        "/data/ChangeEvents": [BAD]
    }


def test_unreadable_message_without_a_channel_is_still_seen() -> None:
    """Somebody must see it, and it says what is wrong."""
    answer = BayeuxResponse.of(200, b'[{"a":NaN},' + orjson.dumps(REPLY) + b"]")
    [piece] = answer.unreadable_of(["/data/ChangeEvents"])["/data/ChangeEvents"]
    assert piece.raw == b'{"a":NaN}'
    assert "names no channel" in piece.error


def test_unreadable_reply_is_no_event() -> None:
    """A broken meta message is missing, and nobody's dead letter."""
    answer = BayeuxResponse.of(200, b'[{"channel":"/meta/connect","x":NaN},' + orjson.dumps(GOOD) + b"]")
    assert answer.unreadable == ()
    assert answer.replies == {}
    assert answer.count == 1


def test_answer_keeps_the_order_within_each_channel() -> None:
    """Events are grouped, replies found wherever they stand."""
    messages = [{"channel": f"/event/{name}__e", "data": number} for number, name in enumerate("ABAB")]
    answer = BayeuxResponse.of(200, orjson.dumps([REPLY, *messages]))
    numbers = {path: [message["data"] for message in group] for path, group in answer.events.items()}
    assert numbers == {"/event/A__e": [0, 2], "/event/B__e": [1, 3]}
    assert answer.replies == {"/meta/connect": [REPLY]}


@given(st.lists(_values, max_size=5))
def test_any_json_can_be_sorted(values: list[Any]) -> None:
    """Messages of any shape are sorted without an error."""
    answer = BayeuxResponse.of(200, orjson.dumps(values))
    answer.unreadable_of(["/data/ChangeEvents"])


@pytest.mark.parametrize("piece", [b"{},", b"[],", b'{"":[]},'])
def test_answer_of_countless_pieces_is_refused_before_it_fills_the_memory(piece: bytes) -> None:
    """Compressed, sixty million of them take 60 kB."""
    body = b"[" + piece * 1_100_000 + b"0]"

    with pytest.raises(Oversized, match="arrays and objects"):
        parse(body)


def test_broken_answer_of_countless_pieces_is_not_examined_one_by_one() -> None:
    """That would stop the loop for as many microseconds."""
    with pytest.raises(Oversized, match="not valid JSON"):
        parse(b"[" + b"1," * 1_500_000 + b"]")


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 2_000_000,
        b"[" + b"{},[]," * 150_000 + b"\xff]",
        b"[" + b"]," * 300_000 + b"]",
        b'[{"channel":"' + b"\\n" * 1_000_000 + b"\xff]",
        b'[{"channel":' + b'"channel"' * 100_000 + b"}]",
        b'[{"a":"\xff"},' * 9_000 + b"{}]",
    ],
)
def test_broken_answer_takes_no_seconds(body: bytes) -> None:
    """Whatever brackets it opens."""
    began = time.thread_time()
    with suppress(TornBody):
        for piece in parse(body).unreadable:
            channels_named_in(piece.raw)

    assert time.thread_time() - began < 2


def test_answer_of_countless_values_is_refused() -> None:
    """Each can be a text or a number, which takes more memory than its bytes."""
    with pytest.raises(Oversized, match="values"):
        parse(b"[" + b"1," * 3_500_000 + b"0]")


def test_large_answer_of_ordinary_messages_is_read() -> None:
    """A transaction of thousands of records is not an attack."""
    message = b'{"channel":"/data/ChangeEvents","data":{"payload":{"Name":"' + b"x" * 900 + b'"}}},'
    body = b"[" + message * 5_000 + b"{}]"

    assert len(parse(body).messages) == 5_001
