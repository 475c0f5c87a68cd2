"""Verdict of the demo: one sentence that says how the demo ended, and the counts that prove it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from streamer.demo.drawing.picture import counted
from streamer.demo.outage import OutageCourse
from streamer.demo.report import DemoReport, Latency
from streamer.demo.scenario import TITLES

_LETTERS = 5
_NEXT = "Next: `streamer sandbox` runs a local Salesforce org, and prints how your configuration can read it."


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoVerdict:
    """Result of the demo in sentences; `headline` is the answer, and `details` are its reasons."""

    is_good: bool
    headline: str
    details: Sequence[str]


def verdict(report: DemoReport, outage: OutageCourse | None = None) -> DemoVerdict:
    """Judge the demo by its report."""
    return DemoVerdict(
        is_good=report.is_good,
        headline=_headline(report),
        details=[
            _deliveries(report),
            _mistakes(report),
            *_outage(outage),
            *_letters(report),
            _latencies(report.append_latency_ms),
            *([_NEXT] if report.is_good else []),
        ],
    )


def _headline(report: DemoReport) -> str:
    if report.is_good:
        return "Nothing is lost. Every deal took its steps once and in order."
    if not report.sent:
        return "Nothing happened: the org published no event."
    if report.lost:
        return f"Lost: {counted(report.lost, 'event')} and deliveries that can no longer arrive."
    if report.due:
        return (
            f"Not finished: {report.on_their_way:,} still due, none lost. No delivery has succeeded for a "
            "minute, but the log or the org still holds these events."
        )
    return "Everything arrived, but not as it should."


def _deliveries(report: DemoReport) -> str:
    arrived = ", ".join(f"{TITLES[name]} {each.delivered:,}" for name, each in report.targets.items())
    return f"Sent {report.sent:,}, in the log {report.appended:,}; {arrived}."


def _mistakes(report: DemoReport) -> str:
    return (
        f"Lost {report.lost:,}, still due {report.on_their_way:,}, "
        f"twice in the log {report.duplicates_in_log:,}, too early {report.early:,}, "
        f"repeated chains {report.second_rounds:,}."
    )


def _latencies(latency: Latency) -> str:
    return f"From the commit in Salesforce to the log: p50 {latency.p50} ms, p99 {latency.p99} ms."


def _outage(outage: OutageCourse | None) -> Iterator[str]:
    if outage is None or outage.lasted_s is None:
        return
    down = f"The ERP was down for {outage.lasted_s:.0f} s, and {counted(outage.most_waiting, 'deal')} waited."
    if outage.drained_after_s is None:
        yield down
    else:
        yield f"{down} {outage.drained_after_s:.1f} s after its return, every invoice that waited was there."


def _letters(report: DemoReport) -> Iterator[str]:
    unexpected = report.unexpected_letters
    for letter in unexpected[:_LETTERS]:
        yield f"Dead letter {letter.id}: {letter.error}"
    if unexpected:
        yield f"Unexpected dead letters: {len(unexpected):,}. The demo caused none of these."
    planned = [each for each in report.dead_letters if each not in unexpected]
    if planned:
        yield f"{counted(len(planned), 'dead letter')}, as planned: {planned[0].error}."
