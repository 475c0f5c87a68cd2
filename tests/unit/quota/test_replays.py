"""A replay waits while little is left of the day's events, and nothing else does."""

from dataclasses import replace
from typing import Any

import pytest
from structlog.testing import capture_logs

from streamer.clock import TurnedClock
from streamer.errors import AllowanceLow
from streamer.events import Channel, Checkpoint, NewEventsAfter, ReplayId, Start
from streamer.observe.metrics import Metrics
from streamer.quota import Limit, LimitsMonitor, LimitsReading, OrgLimit, ReplayAllowance
from tests.messages import CHANGES, ORDERS, ORG

TOPIC = Channel(org=ORG, path="/topic/OpenInvoices")
SEEN = Checkpoint(channel=CHANGES, replay_id=ReplayId(b"7"), verified_at=1.0)
SKIPPED = Checkpoint(channel=CHANGES, replay_id=None, verified_at=1.0, skips_after=ReplayId(b"7"))
NEW = NewEventsAfter(channel=CHANGES, replay_id=None, verified_at=1.0, skips_after=ReplayId(b"7"))


async def no_answer() -> Any:
    """Answer nothing."""


def allowance(channel: Channel = CHANGES, *, cometd: bool = True, **remaining: int) -> ReplayAllowance:
    """Return the allowance of a channel, of an org with `remaining` of 1,000 by the names of `OrgLimit`."""
    clock = TurnedClock()
    monitor = LimitsMonitor(read=no_answer, clock=clock, observer=Metrics(clock=clock).org_limits)
    monitor._tried.set()
    if remaining:
        limits = {
            OrgLimit[name.upper()]: Limit(most=1_000, remaining=left) for name, left in remaining.items()
        }
        monitor._reading = LimitsReading(limits=limits, at=clock.now(), read_at=clock.monotonic())
    return ReplayAllowance(channel=channel, limits=monitor, is_on_cometd=cometd)


@pytest.mark.parametrize("after", [Start.EARLIEST, replace(SEEN, replay_id=None)])
async def test_a_replay_waits_while_little_is_left(after: Checkpoint | Start) -> None:
    """It says what is left, what a replay costs, when it goes on and how it goes on now."""
    with pytest.raises(AllowanceLow) as refused:
        await allowance(delivered_events=199).admit(after)
    for part in (
        "/data/ChangeEvents",
        "199",
        "1,000",
        "19.9%",
        "counts again",
        "20%",
        "replay_retained: always",
    ):
        assert part in str(refused.value)


async def test_a_replay_goes_on_when_a_fifth_is_left() -> None:
    """In silence."""
    with capture_logs() as lines:
        await allowance(delivered_events=200).admit(Start.EARLIEST)
    assert lines == []


@pytest.mark.parametrize("after", [Start.LATEST, SEEN, SKIPPED, NEW])
async def test_what_is_new_is_always_read(after: Checkpoint | Start) -> None:
    """It counts once, whenever it is read."""
    await allowance(delivered_events=0).admit(after)


async def test_another_transport_is_a_replay() -> None:
    """The place of the last event is searched for in all that is retained."""
    with pytest.raises(AllowanceLow):
        await allowance(cometd=False, delivered_events=0).admit(SEEN)


async def test_each_kind_of_channel_has_its_own_events() -> None:
    """PushTopic events are not those of platform and change events."""
    await allowance(TOPIC, delivered_events=0, push_topic_events=1_000).admit(Start.EARLIEST)
    with pytest.raises(AllowanceLow, match="DailyDurableStreamingApiEvents"):
        await allowance(TOPIC, delivered_events=1_000, push_topic_events=0).admit(Start.EARLIEST)
    with pytest.raises(AllowanceLow, match="DailyDeliveredPlatformEvents"):
        await allowance(ORDERS, delivered_events=0).admit(Start.EARLIEST)


async def test_a_replay_goes_on_where_the_limits_are_unknown() -> None:
    """The log says that nothing was checked."""
    with capture_logs() as lines:
        await allowance().admit(Start.EARLIEST)
    assert [line["event"] for line in lines] == ["replay.not_checked"]
