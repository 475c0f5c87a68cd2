"""Answers to Salesforce, and the state of the log at that time."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

import pytest
from structlog.testing import capture_logs

from streamer.clock import TurnedClock
from streamer.events import Channel, Checkpoint
from streamer.log.memory import MemoryFaults, MemoryLog
from streamer.log.memory.log import MemoryAppend
from streamer.salesforce.outbound import endpoint
from streamer.settings import OutboundMessageSettings, OutboundSettings
from streamer.web import guard
from tests.outbound import (
    LEADS,
    MESSAGES,
    ORG,
    PATH,
    SECRET,
    envelope,
    notification,
    notification_id,
    receiving,
)
from tests.waiting import LIMIT_S, limited, until

_ACK = "<Ack>true</Ack>"
_TOKEN = "00D000000000001!AQ0AQFsecret.part_of_it"


async def test_notifications_are_acknowledged_once_they_are_events() -> None:
    """Without the session id and the addresses."""
    log, clock = MemoryLog(), TurnedClock()
    async with receiving(log, clock=clock) as receiver:
        status, answer = await receiver.post(envelope(notification(1), notification(2), session=_TOKEN))

    assert (status, _ACK in answer) == (200, True)
    first, second = log.events
    assert (first.id, first.type, first.key) == (
        notification_id(1),
        "salesforce.outbound.Lead",
        "00Q000000000001AAA",
    )
    assert (first.source, first.time, first.channel) == (
        f"/salesforce/{ORG}",
        "2025-01-01T00:00:00.000Z",
        LEADS.path,
    )
    assert second.data == {
        "record_id": "00Q000000000002AAA",
        "entity": "Lead",
        "fields": {"Status": "Open"},
        "organization_id": ORG,
        "action_id": "04k000000000001AAA",
    }


async def test_log_that_is_down_leaves_salesforce_to_repeat() -> None:
    """Nothing is acknowledged that is not in the log, and the repeat is one event."""
    log = MemoryLog()
    async with receiving(log) as receiver:
        log.faults.down = True
        status, answer = await receiver.post(envelope(notification(1)))
        assert (status, "soapenv:Server" in answer, _ACK in answer) == (503, True, False)
        log.faults.down = False

        async def is_taken() -> bool:
            return (await receiver.post(envelope(notification(1))))[0] == 200

        await until(is_taken)

    assert [event.id for event in log.events] == [notification_id(1)]


async def test_answer_lost_after_the_commit_is_one_event() -> None:
    """The log took them, but said so to nobody: the repeat finds them there."""
    log = MemoryLog(faults=MemoryFaults(fail_after_commit=True))
    async with receiving(log) as receiver:
        assert (await receiver.post(envelope(notification(1))))[0] == 503

        async def is_taken() -> bool:
            return (await receiver.post(envelope(notification(1), notification(2))))[0] == 200

        await until(is_taken)

    assert [event.id for event in log.events] == [notification_id(1), notification_id(2)]


async def test_repeats_are_one_event_also_at_once_and_in_part() -> None:
    """Whole envelopes, parts of them, and twice in one; after a restart too."""
    log = MemoryLog()
    both = envelope(notification(1), notification(2))
    async with receiving(log) as receiver:
        answers = await asyncio.gather(*(receiver.post(both) for _ in range(5)))
        answers.append(await receiver.post(envelope(notification(2), notification(3), notification(3))))
    async with receiving(log) as receiver:
        answers.append(await receiver.post(envelope(notification(3), notification(1))))
        repeats = receiver.metrics.registry.get_sample_value(
            "streamer_outbound_repeats_total", {"channel": LEADS.path}
        )

    assert {status for status, _ in answers} == {200}
    assert [event.id for event in log.events] == [notification_id(number) for number in (1, 2, 3)]
    assert repeats == 2


@pytest.mark.parametrize(
    ("path", "outcome"),
    [
        ("/outbound/leads", "unknown_address"),
        ("/outbound/leads/", "unknown_address"),
        ("/outbound/leads/a-secret-of-enough-letterS", "unknown_address"),
        (f"/outbound/orders/{SECRET}", "unknown_address"),
        (f"/outbound/leads/{SECRET}%FF", "unknown_address"),
    ],
)
async def test_sender_without_the_secret_learns_nothing(path: str, outcome: str) -> None:
    """Neither whether the name is right, nor by the log what the secret is."""
    log = MemoryLog()
    with capture_logs() as lines:
        async with receiving(log) as receiver:
            status, answer = await receiver.post(envelope(notification(1)), path)
            counted = receiver.count(outcome) + receiver.count(outcome, channel="")

    assert (status, log.events) == (404, [])
    assert counted == (0 if path.endswith("/") else 1)
    assert SECRET not in str(lines) + answer


async def test_other_organisation_is_refused_and_told() -> None:
    """An operator has to act, and is told once a minute; the short form of the id is the same org."""
    log = MemoryLog()
    with capture_logs() as lines:
        async with receiving(log) as receiver:
            other = envelope(notification(1), org="00D000000000002AAA")
            statuses = [(await receiver.post(other))[0] for _ in range(2)]
            statuses.append((await receiver.post(envelope(notification(2), org=ORG[:15])))[0])

    assert statuses == [403, 403, 200]
    refused = [line for line in lines if line["event"] == "outbound.refused"]
    assert [(line["outcome"], line["channel"]) for line in refused] == [("wrong_organization", LEADS.path)]


async def test_unreadable_envelope_of_salesforce_becomes_a_dead_letter() -> None:
    """Acknowledged, because Salesforce would repeat it for a day and then drop the only copy."""
    log = MemoryLog()
    torn = envelope(notification(1), session=_TOKEN)[:-30]
    async with receiving(log) as receiver:
        answers = [await receiver.post(torn) for _ in range(2)]
        counted = receiver.count("set_aside")

    assert [(status, _ACK in answer) for status, answer in answers] == [(200, True)] * 2
    (letter,) = log.letters
    assert (log.events, counted, letter.reason) == ([], 2, "unreadable")
    assert b"00Q000000000001AAA" in letter.raw
    assert b"secret.part" not in letter.raw


async def test_unreadable_envelope_of_anybody_is_refused() -> None:
    """Without a secret and a certificate nobody can fill the log with dead letters."""
    log = MemoryLog()
    settings = OutboundSettings(host="localhost", port=0, messages={"leads": OutboundMessageSettings()})
    async with receiving(log, settings=settings) as receiver:
        status, answer = await receiver.post(b"<nonsense/>", "/outbound/leads")
        good, _ = await receiver.post(envelope(notification(1)), "/outbound/leads")

    assert (status, "soapenv:Client" in answer, good) == (400, True, 200)
    assert (len(log.events), log.letters) == (1, [])


async def test_one_unreadable_notification_costs_only_itself() -> None:
    """A record without an id, beside a good one."""
    log = MemoryLog()
    bad = notification(1).replace("<sf:Id>", "<sf:No>").replace("</sf:Id>", "</sf:No>")
    async with receiving(log) as receiver:
        assert (await receiver.post(envelope(bad, notification(2))))[0] == 200

    assert [event.id for event in log.events] == [notification_id(2)]
    assert ["the record's Id" in letter.error for letter in log.letters] == [True]


async def test_event_that_the_log_refuses_is_set_aside_and_acknowledged() -> None:
    """It is too large for the log, and a repeat would be as large."""
    log = MemoryLog(faults=MemoryFaults(refuse=lambda event: event.id == notification_id(1)))
    async with receiving(log) as receiver:
        assert (await receiver.post(envelope(notification(1), notification(2))))[0] == 200
        assert (await receiver.post(envelope(notification(1), notification(2))))[0] == 200

    assert [event.id for event in log.events] == [notification_id(2)]
    assert [letter.reason for letter in log.letters] == ["refused_by_log"]


async def test_envelope_above_the_bound_is_refused_with_the_remedy() -> None:
    """It is not read into memory."""
    settings = OutboundSettings(host="localhost", port=0, messages=MESSAGES, max_body_bytes=64 * 1024)
    with capture_logs() as lines:
        async with receiving(MemoryLog(), settings=settings) as receiver:
            status, _ = await receiver.post(envelope("<a/>" * 20_000, notification(1)))

    assert status == 413
    assert ["raise outbound.max_body_bytes" in line.get("reason", "") for line in lines if "reason" in line]


async def test_body_that_breaks_off_is_no_mistake_of_ours() -> None:
    """Nothing is logged for each connection that is lost, and nothing is kept."""
    log = MemoryLog()
    with capture_logs() as lines:
        async with receiving(log) as receiver:
            _, writer = await asyncio.open_connection("localhost", receiver.port)
            head = f"POST {PATH} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5000\r\n\r\n"
            writer.write(head.encode() + envelope(notification(1))[:200])
            await writer.drain()
            writer.close()

            async def is_counted() -> bool:
                return receiver.count("broken_off") == 1

            await until(is_counted)

    assert (log.events, log.letters) == ([], [])
    assert "outbound.failed" not in [line["event"] for line in lines]


async def test_process_that_does_not_own_the_channel_takes_nothing() -> None:
    """Salesforce, or the load balancer, tries another one."""
    log = MemoryLog()
    async with receiving(log) as receiver:
        base = f"http://localhost:{receiver.port}/outbound"
        async with receiver.http.get(f"{base}/leads") as owned:
            assert owned.status == 204
        receiver.source._inboxes.clear()
        status, _ = await receiver.post(envelope(notification(1)))
        async with receiver.http.get(f"{base}/leads") as not_owned:
            assert (status, not_owned.status) == (503, 503)
        assert receiver.count("not_owned") == 1

    assert log.events == []


@dataclass(slots=True, kw_only=True)
class SlowLog(MemoryLog):
    """A log that takes nothing until it is let go."""

    let_go: asyncio.Event = field(default_factory=asyncio.Event)
    begun: bool = False

    def begin(self, _channel: Channel) -> MemoryAppend:
        """Return an append that waits."""
        return SlowAppend(log=self)


class SlowAppend(MemoryAppend):
    """An append that waits."""

    async def commit(self, checkpoint: Checkpoint, /, **more: Any) -> None:
        """Wait, and then store."""
        assert isinstance(self.log, SlowLog)
        self.log.begun = True
        await self.log.let_go.wait()
        await super().commit(checkpoint, **more)


async def test_load_balancer_is_answered_while_no_envelope_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process that reads the channel stays the one that it sends to."""
    monkeypatch.setattr(guard, "MOST_CONNECTIONS", 1)
    log = SlowLog()
    async with receiving(log) as receiver:
        sending = asyncio.create_task(receiver.post(envelope(notification(1))))
        await until(lambda: log.begun)
        assert (await receiver.post(envelope(notification(2))))[0] == 503
        async with receiver.http.get(f"http://localhost:{receiver.port}/outbound/leads") as owned:
            assert owned.status == 204
        log.let_go.set()
        assert (await sending)[0] == 200


async def test_slow_log_is_not_waited_for_without_end() -> None:
    """A notification that it takes later does not become an event again when Salesforce repeats it."""
    log, clock = SlowLog(), TurnedClock()
    async with receiving(log, clock=clock) as receiver:
        sending = asyncio.create_task(receiver.post(envelope(notification(1))))

        async def is_answered() -> bool:
            await clock.turn(5)
            return sending.done()

        await until(is_answered)
        assert (await sending)[0] == 503
        log.let_go.set()
        assert (await receiver.post(envelope(notification(1))))[0] == 200

    assert [event.id for event in log.events] == [notification_id(1)]


async def test_fault_of_our_own_is_a_server_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    """Salesforce repeats it, and the log has the traceback."""

    def broken(_body: bytes) -> None:
        raise RuntimeError("a mistake")

    monkeypatch.setattr(endpoint, "parse_envelope", broken)
    with capture_logs() as lines:
        async with receiving(MemoryLog()) as receiver:
            status, _ = await receiver.post(envelope(notification(1)))

    assert status == 500
    assert "outbound.failed" in [line["event"] for line in lines]


async def test_slow_bodies_delay_no_other_envelope(monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight clients that send a byte and then nothing are not waited for."""
    monkeypatch.setattr(guard, "_SILENT_S", 2 * LIMIT_S)
    log = MemoryLog()
    async with receiving(log) as receiver:
        slow = [await _slow(receiver.port) for _ in range(8)]
        async with limited("the answer"):
            status, _ = await receiver.post(envelope(notification(1)))
        for writer in slow:
            writer.close()

    assert status == 200
    assert [event.id for event in log.events] == [notification_id(1)]


async def test_bodies_that_arrive_together_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Salesforce sends the others again, and they are taken once there is room."""
    monkeypatch.setattr(endpoint, "_MOST_HELD_BYTES", 1_000)
    log = MemoryLog()
    async with receiving(log) as receiver:
        slow = [await _slow(receiver.port, b"x" * 400) for _ in range(2)]
        await asyncio.sleep(0.1)
        assert (await receiver.post(envelope(notification(1))))[0] == 503
        for writer in slow:
            writer.close()
        monkeypatch.setattr(endpoint, "_MOST_HELD_BYTES", 100_000)

        async def is_taken() -> bool:
            return (await receiver.post(envelope(notification(1))))[0] == 200

        await until(is_taken)


async def _slow(port: int, sent: bytes = b"<") -> asyncio.StreamWriter:
    """Begin to send an envelope, and stop."""
    _, writer = await asyncio.open_connection("localhost", port)
    head = f"POST {PATH} HTTP/1.1\r\nHost: a\r\nContent-Length: 5000\r\n\r\n"
    writer.write(head.encode() + sent)
    await writer.drain()
    return writer
