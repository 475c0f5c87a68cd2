"""What a stream has received waits within bounds."""

from typing import Any

from yarl import URL

from streamer.clock import TurnedClock
from streamer.eventbus import ConsumerEvent, FetchRequest, FetchResponse, ProducerEvent
from streamer.salesforce.observer import NullObserver
from streamer.salesforce.pubsub.options import PubSubOptions
from streamer.salesforce.pubsub.subscription import Subscription


async def test_keep_alives_in_a_row_take_the_room_of_one() -> None:
    """The last one tells all, and a server can send any number while the log is busy."""
    options = PubSubOptions(endpoint=URL("http://localhost:7443"))
    call: Any = None
    request = FetchRequest(topic_name="/data/ChangeEvents", num_requested=100)
    subscription = Subscription(call, request, options, TurnedClock(), NullObserver(), secret="x")
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
