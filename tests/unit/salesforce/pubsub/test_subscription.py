"""A stream's messages wait within bounds."""

import time
import tracemalloc
from typing import Any

import pytest
from google.protobuf.message import DecodeError
from yarl import URL

from streamer.clock import TurnedClock
from streamer.eventbus import ConsumerEvent, FetchRequest, FetchResponse, ProducerEvent
from streamer.salesforce.pubsub.options import PubSubOptions
from streamer.salesforce.pubsub.subscription import SubscribeStream, TooManyEvents, check_event_count
from streamer.salesforce.sessions import NullObserver


def subscription_with(credit: int) -> SubscribeStream:
    """Return a stream on which so many events are still asked for."""
    options = PubSubOptions(endpoint=URL("http://localhost:7443"))
    call: Any = None
    request = FetchRequest(topic_name="/data/ChangeEvents", num_requested=100)
    subscription = SubscribeStream(call, request, options, TurnedClock(), NullObserver(), secret="x")
    subscription._outstanding = credit
    return subscription


async def test_keep_alives_in_a_row_take_the_room_of_one() -> None:
    """The last one tells all, and a server can send any number while the log is busy."""
    subscription = subscription_with(100)
    event = ConsumerEvent(event=ProducerEvent(id="1"), replay_id=b"1")
    for number in range(1000):
        subscription._keep(FetchResponse(latest_replay_id=b"%d" % number).SerializeToString())
    subscription._keep(FetchResponse(events=[event]).SerializeToString())
    subscription._keep(FetchResponse(latest_replay_id=b"last").SerializeToString())

    answers = await subscription.take(within_s=1)
    assert [(len(answer.events), answer.latest) for answer in answers] == [
        (0, b"999"),
        (1, b""),
        (0, b"last"),
    ]


@pytest.mark.parametrize("count", [101, 1_000_000, 4_000_000])
def test_events_beyond_the_credit_are_refused_before_they_are_made(count: int) -> None:
    """Two bytes are an event, which would take fifty as an object."""
    subscription, raw = subscription_with(100), b"\n\0" * count
    tracemalloc.start()
    began = time.thread_time()
    with pytest.raises(TooManyEvents):
        subscription._keep(raw)

    spent, peak = time.thread_time() - began, tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert spent < 0.5
    assert peak < 1_000_000


@pytest.mark.parametrize("credit", [0, 5])
def test_credit_is_the_bound_and_not_its_largest_value(credit: int) -> None:
    """An answer is refused that brings one event more than was asked for."""
    event = ConsumerEvent(event=ProducerEvent(id="1"), replay_id=b"1")
    subscription = subscription_with(credit)
    subscription._keep(FetchResponse(events=[event] * credit).SerializeToString())

    with pytest.raises(TooManyEvents):
        subscription._keep(FetchResponse(events=[event]).SerializeToString())


def test_large_answers_within_the_credit_are_counted_right() -> None:
    """Whatever fields stand between the events."""
    event = ConsumerEvent(event=ProducerEvent(payload=b"\n" * 1000), replay_id=b"1")
    raw = FetchResponse(
        events=[event] * 100, latest_replay_id=b"1", rpc_id="x", pending_num_requested=-1
    ).SerializeToString()
    fixed = b"\x7d1234" + b"\x79" + b"12345678"

    check_event_count(raw + fixed, 100)
    with pytest.raises(TooManyEvents):
        check_event_count(fixed + raw, 99)


@pytest.mark.parametrize(
    "raw", [b"\xff" * 100_000, b"\x7a\0" * 100_000, b"\x7b\x7c" * 100_000, b"\0" * 100_000 + b"\xff"]
)
def test_large_answers_of_other_fields_are_no_answers(raw: bytes) -> None:
    """Nothing of them is made."""
    with pytest.raises(DecodeError):
        check_event_count(raw, 100)
