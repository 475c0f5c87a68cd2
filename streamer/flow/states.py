"""States of the flow and of its parts, in the words that the console and the terminal share."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from streamer.admin.processes.state import ReportedChannel
from streamer.admin.subscribers import DeliveryState
from streamer.channel_paths import ChannelKind
from streamer.events import Channel
from streamer.flow.flow_map import FlowMap, Level, NodeState, Trouble
from streamer.ingest.channel_supervisor import ChannelState
from streamer.supervision.conditions import LogCondition, ReadingCondition

_MOST_NAMED = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowVerdict:
    """Verdict on a map, as a `sentence`, with the broken parts and the parts where events only wait."""

    level: Level
    sentence: str
    all_broken: Sequence[Trouble]
    all_waiting: Sequence[Trouble]

    @property
    def broken(self) -> Sequence[Trouble]:
        """Broken parts to name, the worst first."""
        return self.all_broken[:_MOST_NAMED]

    @property
    def waiting(self) -> Sequence[Trouble]:
        """Parts to name at which events wait."""
        return self.all_waiting[:_MOST_NAMED]

    @property
    def waiting_title(self) -> str:
        """Sentence before the waiting parts, or empty if the verdict already says that events wait."""
        return "Events also wait here" if self.all_broken and self.all_waiting else ""

    @property
    def further_broken(self) -> int:
        """Number of broken parts beyond the named parts."""
        return len(self.all_broken) - len(self.broken)

    @property
    def further_waiting(self) -> int:
        """Number of waiting parts beyond the named parts."""
        return len(self.all_waiting) - len(self.waiting)


def verdict_of(flow: FlowMap) -> FlowVerdict:
    """Return the verdict on all processes that answer."""
    broken = [each for each in flow.troubles if each.level is Level.BAD]
    waiting = [each for each in flow.troubles if each.level is not Level.BAD]
    here = " in the processes that answer" if flow.process.missing else ""
    if broken:
        said = f"{len(broken)} {'part needs' if len(broken) == 1 else 'parts need'} attention"
        level = Level.BAD
    elif waiting:
        said, level = f"Nothing is broken{here}, but some events wait", Level.WAITS
    else:
        said, level = f"Everything flows{here}", Level.GOOD
    return FlowVerdict(level=level, sentence=said, all_broken=broken, all_waiting=waiting)


_HERE = "this process"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelRow:
    """Row of one configured channel: its state as a `word`, with a `reason`. Times are epoch seconds.

    No event before `verified_at` is missing. After `expires_at`, Salesforce can
    drop the next events, which it retains for `retention_s`.
    """

    path: str
    word: str
    level: Level
    reason: str = ""
    owner: str = ""
    verified_at: float | None = None
    expires_at: float | None = None
    expires_soon: bool = False

    @property
    def is_owned(self) -> bool:
        """True if this process owns the channel."""
        return self.owner == _HERE


def channel_rows(reading: ReadingCondition, paths: Sequence[str], now: float) -> Sequence[ChannelRow]:
    """Return a row for each configured channel, in the order of `paths`."""
    owned = {channel.path: channel for channel in reading.channels}
    return [_channel_row(reading, path, owned.get(path), now) for path in paths]


def _channel_row(reading: ReadingCondition, path: str, channel: Channel | None, now: float) -> ChannelRow:
    if channel is None:
        word, owner = "elsewhere", "another process"
        if not reading.has_begun:
            owner = "a process that reads channels"
        elif not reading.has_joined:
            word, owner = "starting", "not known yet"
        return ChannelRow(path=path, word=word, level=Level.QUIET, owner=owner)
    found = reading.channels[channel]
    word, level = found.state.value, Level.BAD
    if found.state is ChannelState.RUNNING:
        is_subscribed = path in reading.subscribed
        word, level = ("reading", Level.GOOD) if is_subscribed else ("subscribing", Level.QUIET)
    verified_at = reading.supervisor.verified_at.get(channel) if reading.supervisor else None
    # Salesforce itself repeats an outbound message until Streamer acknowledges it.
    retained_from = verified_at if ChannelKind.of(path) is not ChannelKind.OUTBOUND else None
    return ChannelRow(
        path=path,
        word=word,
        level=level,
        reason=found.reason,
        owner=_HERE,
        verified_at=verified_at,
        expires_at=None if retained_from is None else channel.expires_at(retained_from),
        expires_soon=retained_from is not None and channel.expires_soon(retained_from, now),
    )


def reported_channel(row: ChannelRow, per_second: float | None) -> ReportedChannel:
    """Return a channel of this process for the other processes."""
    return ReportedChannel(
        word=row.word,
        level=row.level.value,
        reason=row.reason,
        per_second=per_second,
        verified_at=row.verified_at,
        expires_at=row.expires_at,
        expires_soon=row.expires_soon,
    )


def row_of(path: str, reported: ReportedChannel, owner: str) -> ChannelRow:
    """Return the row of a channel that the process `owner` reports."""
    return ChannelRow(
        path=path,
        word=reported.word,
        level=Level(reported.level),
        reason=reported.reason,
        owner=owner,
        verified_at=reported.verified_at,
        expires_at=reported.expires_at,
        expires_soon=reported.expires_soon,
    )


def log_state(log: LogCondition, problem: str) -> NodeState:
    """Return the log's state; `problem` is the reason why a request to the log failed, or empty."""
    if reason := log.opening_wait or log.outage or problem:
        return NodeState(word="unavailable", level=Level.BAD, reason=reason)
    return NodeState(word="available", level=Level.GOOD)


_LEVELS = {
    DeliveryState.DELIVERING: Level.GOOD,
    DeliveryState.FAILING: Level.BAD,
    DeliveryState.LATE: Level.BAD,
    DeliveryState.TARGET_DOWN: Level.BAD,
    DeliveryState.CANT_START: Level.BAD,
    DeliveryState.HELD: Level.WAITS,
    DeliveryState.PAUSED: Level.WAITS,
    DeliveryState.NOT_HERE: Level.QUIET,
}


def state_of(subscriber: Mapping[str, Any], now: float, blocked: str = "") -> NodeState:
    """Return a subscriber's state from the API's answer.

    `blocked` is the reason why a process can't open the plugin, or empty.
    """
    state = DeliveryState(subscriber["state"])
    reason, since = _reason(state, subscriber, blocked), _since(state, subscriber)
    lasts_s = 0.0 if since is None else max(0.0, now - since)
    return NodeState(word=state.value, level=_LEVELS[state], reason=reason, since=since, lasts_s=lasts_s)


def _since(state: DeliveryState, subscriber: Mapping[str, Any]) -> float | None:
    total = subscriber["total"] or {"failing": None, "down_since": None}
    failing = total["failing"]["since"] if total["failing"] else None
    times: Mapping[DeliveryState, str | None] = {
        DeliveryState.PAUSED: subscriber["since"],
        DeliveryState.TARGET_DOWN: total["down_since"] or failing,
        DeliveryState.FAILING: failing,
        DeliveryState.HELD: failing,
    }
    at = times.get(state)
    return None if at is None else datetime.fromisoformat(at).timestamp()


def _reason(state: DeliveryState, subscriber: Mapping[str, Any], blocked: str) -> str:
    total = subscriber["total"] or {"failing": None, "late": "", "held": ""}
    error: str = total["failing"]["error"] if total["failing"] else total["held"]
    reasons: Mapping[DeliveryState, str] = {
        DeliveryState.PAUSED: subscriber["reason"],
        DeliveryState.CANT_START: blocked,
        DeliveryState.TARGET_DOWN: error,
        DeliveryState.FAILING: error,
        DeliveryState.LATE: total["late"],
        DeliveryState.HELD: total["held"],
    }
    return reasons.get(state, "")
