"""Events are sent in order, and again if that is safe; an interruption keeps the count."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from streamer.cli.publishing.parser import Input
from streamer.cli.publishing.sending import EventNumbers, PublishReport, Sending, SendingStopped
from streamer.clock import TurnedClock
from streamer.errors import CredentialsRefused, RetryLater, SalesforceUnavailable
from streamer.ports import OutgoingEvent, Published, PublishResult, Unanswered, Unpublished
from tests.waiting import turned

AWAY = Unanswered(error=SalesforceUnavailable("away"))
LIMIT = Unpublished(code="limit_exceeded", reason="too many", is_transient=True)


@dataclass
class ScriptedPublisher:
    """Publisher whose requests have the next results of `script`, and are all published after that."""

    script: deque[Sequence[PublishResult]] = field(default_factory=deque)
    requests: list[list[OutgoingEvent]] = field(default_factory=list)
    on_request: Callable[[], None] = lambda: None

    async def publish(self, _topic: str, events: Sequence[OutgoingEvent], /) -> Sequence[PublishResult]:
        """Take a request."""
        self.requests.append(list(events))
        self.on_request()
        if not self.script:
            return [Published(event_uuid=event.id) for event in events]
        return self.script.popleft()

    @property
    def numbers(self) -> list[list[Any]]:
        """The numbers of the events of each request."""
        return [[event.fields["N"] for event in request] for request in self.requests]


@dataclass
class World:
    """Sending of numbered events by a scripted publisher, on a turned clock."""

    publisher: ScriptedPublisher = field(default_factory=ScriptedPublisher)
    clock: TurnedClock = field(default_factory=TurnedClock)
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    report: PublishReport = field(default_factory=lambda: PublishReport(size=None, as_json=False))

    def sending(self, *, id_field: str | None = None, **options: Any) -> Sending:
        """Return what sends."""
        numbers = EventNumbers(run_id="run", id_field=id_field)
        return Sending(topic="Order__e", report=self.report, clock=self.clock, numbers=numbers, **options)

    async def send(self, sending: Sending, events: int) -> None:
        """Send so many events, while the clock turns."""
        chunks = iter([b"".join(b'{"N": %d}\n' % number for number in range(events))])
        source = Input(lambda _: next(chunks, b""), name="input")
        task = asyncio.create_task(sending.run(self.publisher, source, self.stopping))
        await turned(self.clock, task.done, step_s=0.5)
        await task


def some(*results: PublishResult) -> deque[Sequence[PublishResult]]:
    """Return the script of one request."""
    return deque([results])


PUBLISHED = Published(event_uuid="u")


async def test_events_go_in_requests_of_many_in_their_order() -> None:
    """The counts match the results."""
    world = World()
    sending = world.sending()
    await world.send(sending, 450)

    assert [len(request) for request in world.publisher.requests] == [200, 200, 50]
    assert [number for request in world.publisher.numbers for number in request] == list(range(450))
    assert (world.report.published, sending.done, sending.is_complete) == (450, 450, True)


async def test_what_was_not_answered_is_sent_again_with_the_same_ids() -> None:
    """So are events that a limit refused, but not those that are published or refused for good."""
    world = World()
    world.publisher.script = some(PUBLISHED, LIMIT, Unpublished(code="x", reason="bad"), AWAY)
    sending = world.sending()
    await world.send(sending, 4)

    assert world.publisher.numbers == [[0, 1, 2, 3], [1, 3]]
    first, again = world.publisher.requests
    assert [first[1].id, first[3].id] == [event.id for event in again]
    assert (world.report.published, world.report.refused, sending.is_complete) == (3, 1, True)


async def test_retries_end_in_time_with_what_is_done() -> None:
    """The events before the first unknown one."""
    world = World()
    world.publisher.script = deque([(PUBLISHED, AWAY), *[(AWAY,)] * 99])
    sending = world.sending(retry_for_s=60)
    with pytest.raises(SendingStopped, match="away; the command gave up after 60 s"):
        await world.send(sending, 2)

    assert (sending.done, sending.is_complete, world.report.published) == (1, False, 1)
    assert world.clock.now() - TurnedClock().now() < 62


async def test_pause_that_salesforce_asks_for_is_kept() -> None:
    """Whatever the back-off."""
    world = World()
    world.publisher.script = some(Unanswered(error=RetryLater("limit", after_s=40)))
    await world.send(world.sending(), 1)

    assert world.clock.now() - TurnedClock().now() >= 40


async def test_refused_login_ends_it_at_once() -> None:
    """After the results that are known."""
    world = World()
    world.publisher.script = some(PUBLISHED, Unanswered(error=CredentialsRefused("no")))
    sending = world.sending()
    with pytest.raises(CredentialsRefused):
        await world.send(sending, 2)

    assert (sending.done, world.report.published, len(world.publisher.requests)) == (1, 1, 1)


async def test_stop_finishes_the_request_under_way() -> None:
    """And begins no other."""
    world = World()
    world.publisher.on_request = world.stopping.set
    sending = world.sending()
    await world.send(sending, 450)

    assert (len(world.publisher.requests), sending.done, sending.is_complete) == (1, 200, False)


async def test_run_that_goes_on_gives_the_same_ids() -> None:
    """To the events that it does not leave out."""
    whole, rest = World(), World()
    await whole.send(whole.sending(), 3)
    await rest.send(rest.sending(skip=2), 3)

    assert rest.publisher.requests == [whole.publisher.requests[0][2:]]


async def test_id_is_put_into_the_field_for_it() -> None:
    """For consumers over REST."""
    world = World()
    await world.send(world.sending(id_field="Key__c"), 1)
    [[event]] = world.publisher.requests

    assert event.fields == {"N": 0, "Key__c": event.id}
