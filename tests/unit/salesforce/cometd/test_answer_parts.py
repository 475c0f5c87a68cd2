"""A large answer is parsed in parts, and the result does not depend on the cuts."""

from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.salesforce.cometd import answer as answers
from streamer.salesforce.cometd.answer import BayeuxResponse
from streamer.salesforce.cometd.protocol import Oversized, TornBody

PATH = "/data/ChangeEvents"
REPLY = {"clientId": "c", "channel": "/meta/connect", "id": "7", "successful": True}


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut after every hundred bytes."""
    monkeypatch.setattr(answers, "_PART_BYTES", 100)


def event(number: int, **payload: Any) -> dict[str, Any]:
    """Return an event message."""
    return {"channel": PATH, "data": {"payload": payload, "event": {"replayId": number}}}


def parts(body: bytes) -> list[BayeuxResponse]:
    """Return all parts of an answer."""
    return list(parts_of(body))


def parts_of(body: bytes) -> Iterator[BayeuxResponse]:
    """Yield the parts of an answer."""
    part = BayeuxResponse.beginning(200, body)
    yield part
    while part.rest:
        yield (part := part.following())


PAYLOADS = st.dictionaries(
    st.sampled_from(["channel", "data", "Name"]),
    st.text()
    | st.lists(
        st.dictionaries(st.sampled_from(["channel", "data", "clientId"]), st.text(), max_size=2), max_size=4
    ),
    max_size=3,
)


@given(payloads=st.lists(PAYLOADS, max_size=12), reply_at=st.integers(0, 12))
def test_parts_together_are_the_whole(payloads: list[dict[str, Any]], reply_at: int) -> None:
    """Also where what looks like a seam stands inside a message."""
    events = [event(number, **payload) for number, payload in enumerate(payloads)]
    messages = [*events[:reply_at], REPLY, *events[reply_at:]]

    found = parts(orjson.dumps(messages))

    assert [each for part in found for each in part.events.get(PATH, [])] == events
    assert found[-1].replies == {"/meta/connect": [REPLY]}
    assert not any(part.unreadable for part in found)


def test_long_answer_is_cut() -> None:
    """There is more than one part, and each is small."""
    found = parts(orjson.dumps([event(number, Name="x" * 60) for number in range(9)] + [REPLY]))

    assert [part.count for part in found] == [1] * 9 + [0]


def test_whole_parts_of_a_torn_body_come_before_the_tear() -> None:
    """The messages that came whole are good; what is missing is noticed all the same."""
    body = orjson.dumps([event(number, Name="x" * 60) for number in range(4)])[:-10]
    seen: list[BayeuxResponse] = []
    with pytest.raises(TornBody):
        seen.extend(parts_of(body))

    assert [each["data"]["event"]["replayId"] for one in seen for each in one.events[PATH]] == [0, 1, 2]


def test_poison_message_costs_only_itself() -> None:
    """A part that is not valid UTF-8 is taken apart, the others are not."""
    body = orjson.dumps([event(number, Name="x" * 60) for number in range(4)] + [REPLY])
    body = body.replace(b"x" * 60, b"\xff" * 60, 2).replace(b"\xff" * 60, b"x" * 60, 1)
    found = parts(body)

    assert [each["data"]["event"]["replayId"] for part in found for each in part.events.get(PATH, [])] == [
        0,
        2,
        3,
    ]
    assert [piece.replay_id for part in found for piece in part.unreadable] == [b"1"]


def test_answer_without_boundaries_is_sorted_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other servers write other keys first, and each message takes time downstream."""
    monkeypatch.setattr(answers, "_PART_MESSAGES", 3)
    messages = [{"data": event(number)["data"], "id": "1", "channel": PATH} for number in range(8)]
    body = orjson.dumps([*messages, REPLY]).replace(b'{"data"', b'{ "data"')

    found = parts(body)

    assert [each.count for each in found] == [3, 3, 2, 0]
    assert [each for part in found for each in part.events[PATH]] == messages
    assert found[-1].replies == {"/meta/connect": [REPLY]}


def test_part_of_countless_small_messages_is_sorted_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Messages after the part come after its messages."""
    monkeypatch.setattr(answers, "_PART_BYTES", 1_000)
    monkeypatch.setattr(answers, "_PART_MESSAGES", 10)
    messages = [{"channel": PATH, "n": number} for number in range(200)]

    found = parts(orjson.dumps([*messages, REPLY]))

    assert max(part.count for part in found) == 10
    assert [each for part in found for each in part.events.get(PATH, [])] == messages


@pytest.mark.parametrize(
    ("piece", "what"), [(b"1,", "not Bayeux"), (b'{"channel":"/meta/connect"},', "replies")]
)
def test_strays_and_replies_are_counted_over_all_parts(
    monkeypatch: pytest.MonkeyPatch, piece: bytes, what: str
) -> None:
    """A part alone has few."""
    monkeypatch.setattr(answers, "_PART_BYTES", 512 * 1024)
    with pytest.raises(Oversized, match=what):
        parts(b"[" + piece * 12_000 + orjson.dumps(REPLY) + b"]")


def test_part_that_takes_long_is_left_to_a_thread() -> None:
    """Pieces that are not JSON are looked for byte by byte."""
    body = orjson.dumps([event(number, Name="x" * 60) for number in range(3)])[:-1] + b',{"channel":\xff}]'
    first = BayeuxResponse.quickly(200, body)
    assert first is not None
    second = first.quickly_following()
    assert second is not None
    third = second.quickly_following()
    assert third is not None

    assert third.quickly_following() is None
    assert [len(each.unreadable) for each in parts(body)] == [0, 0, 0, 1]
