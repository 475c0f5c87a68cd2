"""The metrics of the log show what waits in it, and how full it is."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from streamer.app.log_reporter import LogReporter
from streamer.clock import TurnedClock
from streamer.controls import AuditRecord
from streamer.events import SubscriberName
from streamer.log.memory import MemoryLog
from streamer.log.sqlite import SqliteLog
from streamer.observe.log_metrics import LogMetrics
from streamer.observe.series import LabelValues
from streamer.ports import StateRebuild
from streamer.settings import SqliteLogSettings
from tests.contracts.values import a_dead_letter, an_append, append_to


class AbortingLog(MemoryLog):
    """A log some of whose transactions were aborted, as those in Kafka can be."""

    aborted = 0
    unanswered = 0

    @property
    def schema_failures(self) -> int:
        """Number of requests that the registry did not answer."""
        return self.unanswered

    @property
    def aborted_transactions(self) -> int:
        """Their number."""
        return self.aborted


AUDIT = AuditRecord(at=1.0, what="deadletters.discarded", by="operator")
SHIPMENT = SubscriberName("shipment")


def shown(registry: CollectorRegistry, name: str) -> Mapping[tuple[str, ...], float]:
    """Return the values of a metric by the values of its labels."""
    return {
        tuple(sample.labels.values()): sample.value
        for metric in registry.collect()
        for sample in metric.samples
        if sample.name == f"streamer_{name}"
    }


async def test_letters_that_wait_are_shown_as_long_as_they_do(tmp_path: Path) -> None:
    """By subscriber and reason; those that are gone leave a zero, so that an alert on them ends."""
    registry = CollectorRegistry()
    letters = [replace(a_dead_letter(name), subscriber=SHIPMENT, reason="rejected") for name in "abc"]
    ingest = replace(a_dead_letter("d"), subscriber=None, reason="unreadable")
    async with SqliteLog.open(SqliteLogSettings(path=tmp_path / "log.db"), TurnedClock()) as log:
        metrics = LogMetrics(registry, LabelValues())
        reporter = LogReporter(log=log, metrics=metrics, clock=TurnedClock())
        await append_to(log, replace(an_append(), set_aside=[*letters, ingest]))
        for _ in range(3):
            await reporter.report()
            expected = {("shipment", "rejected"): 3, ("", "unreadable"): 1}
            assert shown(registry, "dead_letters_waiting") == expected
        await log.controls.discard(["a", "d"], AUDIT)
        again = replace(letters[1], reason="retries_exhausted")
        await append_to(log, replace(an_append(at=2), set_aside=[again], redriven=["b"]))
        await reporter.report()

    assert shown(registry, "dead_letters_waiting") == {
        ("shipment", "rejected"): 1,
        ("shipment", "retries_exhausted"): 1,
        ("", "unreadable"): 0,
    }


@pytest.mark.parametrize("most", [1, 3, 100])
async def test_round_costs_the_same_whatever_the_number_of_letters(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    """Some of many are looked for in each, until all that are gone were found."""
    monkeypatch.setattr("streamer.app.log_reporter._CHECKED_AT_ONCE", most)
    registry = CollectorRegistry()
    names = [str(number) for number in range(10)]
    async with SqliteLog.open(SqliteLogSettings(path=tmp_path / "log.db"), TurnedClock()) as log:
        metrics = LogMetrics(registry, LabelValues())
        reporter = LogReporter(log=log, metrics=metrics, clock=TurnedClock())
        await append_to(log, replace(an_append(), set_aside=[*map(a_dead_letter, names)]))
        await reporter.report()
        await log.controls.discard(names[3:], AUDIT)
        for _ in range(10):
            await reporter.report()

    assert sum(shown(registry, "dead_letters_waiting").values()) == 3


async def test_room_of_the_file_is_shown(tmp_path: Path) -> None:
    """The bytes in use, their bound, and what the disk has left."""
    registry = CollectorRegistry()
    settings = SqliteLogSettings(path=tmp_path / "log.db", max_bytes=5_000_000)
    async with SqliteLog.open(settings, TurnedClock()) as log:
        reporter = LogReporter(log=log, metrics=LogMetrics(registry, LabelValues()), clock=TurnedClock())
        await append_to(
            log, replace(an_append(), set_aside=[replace(a_dead_letter("a"), raw=b"x" * 1_000_000)])
        )
        await reporter.report()

    [used] = shown(registry, "log_used_bytes").values()
    assert 1_300_000 < used < 2_000_000
    assert shown(registry, "log_max_bytes") == {(str(settings.path),): 5_000_000}
    assert min(shown(registry, "log_disk_free_bytes").values()) > 0


async def test_failures_of_the_registry_are_counted_from_the_start_of_the_process() -> None:
    """An alert can tell an outage that lasts from one lost request."""
    registry, log = CollectorRegistry(), AbortingLog()
    reporter = LogReporter(
        log=log,  # type: ignore[arg-type] # has what a reporter reads of a log
        metrics=LogMetrics(registry, LabelValues()),
        clock=TurnedClock(),
    )
    for log.unanswered in (0, 2, 2, 5):
        await reporter.report()

    assert shown(registry, "schema_registry_failures_total") == {(): 5}


async def test_aborted_transactions_are_counted_from_the_start_of_the_process() -> None:
    """The log tells their number so far, and the counter grows with it."""
    registry = CollectorRegistry()
    log = AbortingLog()
    reporter = LogReporter(
        log=log,  # type: ignore[arg-type] # has what a reporter reads of a log
        metrics=LogMetrics(registry, LabelValues()),
        clock=TurnedClock(),
    )
    for log.aborted in (0, 2, 2, 3):
        await reporter.report()

    assert shown(registry, "transactions_aborted_total") == {(): 3}


def test_rebuilds_of_state_topics_are_shown() -> None:
    """The records that were read, and the offsets that are left."""
    registry = CollectorRegistry()
    rebuild = StateRebuild(topic="salesforce.state.Account", records=7, remaining=3)
    LogMetrics(registry, LabelValues()).set_rebuilds([rebuild])

    assert shown(registry, "state_rebuild_records") == {("salesforce.state.Account",): 7}
    assert shown(registry, "state_rebuild_remaining_offsets") == {("salesforce.state.Account",): 3}
