"""Reports of processes: this process writes its own, and reads those of the others for its pages."""

import os
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from pydantic import ValidationError

from streamer.admin.processes.state import ProcessState, shown
from streamer.admin.recent_records import RecentRecords
from streamer.clock import Clock
from streamer.errors import LogMisconfigured, LogUnavailable
from streamer.events import JsonObject
from streamer.observe.durations import duration
from streamer.ports import ProcessRecord, ProcessRecordKind, ProcessRecords

SILENT_AFTER_S = 45.0
"""Age of a report after which its process counts as one that has gone, or does not answer."""

_NAMED_FOR_S = 600.0
# Two live processes of one name both report every ten seconds.
_REPLACED_AFTER_S = 15.0
_AHEAD_S = 45.0
_STATES_EVERY_S = 5.0
_SAMPLES_EVERY_S = 30.0
_SAMPLES_SPAN_S = 3_660.0
# A page shows this process alone rather than wait longer.
_PAGE_WAITS_S = 1.0
_LEAVING_S = 2.0
# The pages refresh every ten seconds.
_SLOW_S = 15.0


def process_name() -> str:
    """Return the host of this process, with its number unless it is the only process of a container."""
    host, number = socket.gethostname(), os.getpid()
    return host if number == 1 else f"{host} pid {number}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessReport:
    """Newest report of another process, `at` epoch seconds of that process's clock.

    `state` is `None` if this version of Streamer can't read the report.
    """

    process: str
    at: float
    state: ProcessState | None


@dataclass(slots=True, kw_only=True)
class OwnReports:
    """Reports of this process.

    `records` returns the open log's records, or `None` if the log has only one process.
    `name` is the process for people, and `instance` is unique for each start.
    """

    clock: Clock
    records: Callable[[], ProcessRecords | None]
    instance: str = field(default_factory=lambda: uuid4().hex)
    name: str = field(default_factory=process_name)
    _has_reported: bool = field(default=False, init=False)
    _has_left: bool = field(default=False, init=False)

    async def report(self, kind: ProcessRecordKind, body: JsonObject) -> None:
        """Write a record of this process, unless the process has left.

        Raises `LogUnavailable` and `LogMisconfigured`.
        """
        records = self.records()
        if records is not None and not self._has_left:
            await records.report(self._record(kind, body))
            self._has_reported = True

    async def leave(self) -> None:
        """Tell the others that this process ends, so that they do not miss it; wait at most 2 s."""
        self._has_left = True
        if not self._has_reported:
            return
        with suppress(LogUnavailable, LogMisconfigured, TimeoutError):
            async with self.clock.timeout(_LEAVING_S):
                records = self.records()
                if records is not None:
                    await records.report(self._record(ProcessRecordKind.STATE, None))

    @property
    def is_alone(self) -> bool:
        """True if no other process can share the log, or while the log is not open."""
        try:
            return self.records() is None
        except LogUnavailable:
            # The log is not open, and the page says so.
            return True

    def _record(self, kind: ProcessRecordKind, body: JsonObject | None) -> ProcessRecord:
        return ProcessRecord(
            process=self.name, instance=self.instance, kind=kind, at=self.clock.now(), body=body
        )


@dataclass(slots=True, kw_only=True)
class ProcessReports:
    """Reports of the other processes that share the log.

    Pages never fail because of the reports: without an answer in time, the reports of
    the last answer count. If they are old, they say nothing about the processes any
    more, and `problem` says why.
    """

    own: OwnReports
    problem: str = field(default="", init=False)
    _states: RecentRecords[Sequence[ProcessReport]] = field(init=False)
    _samples: RecentRecords[Sequence[ProcessRecord]] = field(init=False)

    def __post_init__(self) -> None:
        self._states = self._recent("reports of the processes", self._read_states, _STATES_EVERY_S)
        self._samples = self._recent("samples of the processes", self._read_samples, _SAMPLES_EVERY_S)

    async def refresh(self) -> None:
        """Read the others' reports, at most every 5 s, and wait for them at most 1 s. Never raises."""
        if self.own.is_alone:
            return
        self.problem = ""
        try:
            await self._states.records()
        except (LogUnavailable, LogMisconfigured) as error:
            # A slow reading continues, and the next page has its result.
            if self._states.latest(_SLOW_S) is None:
                self.problem = str(error)

    async def samples(self) -> Mapping[str, Sequence[ProcessRecord]]:
        """Return the others' samples of the last hour, by instance, the oldest first. Never raises."""
        if not self.own.is_alone:
            with suppress(LogUnavailable, LogMisconfigured):
                await self._samples.records()
        found: dict[str, list[ProcessRecord]] = {}
        for each in self._samples.latest() or ():
            found.setdefault(each.instance, []).append(each)
        return found

    @property
    def answering(self) -> Sequence[tuple[str, ProcessState]]:
        """Names and states of the other processes that have reported lately, as last read."""
        return [(each.process, each.state) for each in self._fresh if each.state is not None]

    @property
    def missing(self) -> Sequence[str]:
        """Sentences about the processes whose share is missing, and about reports that can't be read."""
        return [self.problem] if self.problem else [*self._silent()]

    @property
    def _known(self) -> Sequence[ProcessReport]:
        return self._states.latest() or ()

    @property
    def _fresh(self) -> Sequence[ProcessReport]:
        now = self.own.clock.now()
        return [each for each in self._known if now - SILENT_AFTER_S <= each.at <= now + _AHEAD_S]

    def _silent(self) -> Iterator[str]:
        now, alive = self.own.clock.now(), {each.process for each in self._fresh}
        for each in self._known:
            if each.at < now - SILENT_AFTER_S:
                # A restarted process has the same name, and a new instance.
                if each.process not in alive and each.process != self.own.name:
                    silent = duration(now - each.at)
                    yield f"{each.process} has gone or does not answer: its last report is {silent} old."
            elif each.at > now + _AHEAD_S:
                ahead = duration(each.at - now)
                yield (
                    f"{each.process} is not counted, because its clock is {ahead} ahead: synchronise the "
                    "clocks of the machines."
                )
            elif each.state is None:
                yield f"{each.process} reports in a form that this version of Streamer can't read."

    def _recent(self, name: str, read: Callable[[], Any], every_s: float) -> RecentRecords[Any]:
        return RecentRecords(
            name=name, read=read, clock=self.own.clock, every_s=every_s, timeout_s=_PAGE_WAITS_S
        )

    async def _read_states(self) -> Sequence[ProcessReport]:
        records = self.own.records()
        if records is None:
            return ()
        found = await records.newest(since=self.own.clock.now() - _NAMED_FOR_S)
        others = [each for each in _at_work(found) if each.instance != self.own.instance]
        return sorted(map(_report, others), key=lambda each: each.process)

    async def _read_samples(self) -> Sequence[ProcessRecord]:
        records = self.own.records()
        if records is None:
            return ()
        found = await records.samples(since=self.own.clock.now() - _SAMPLES_SPAN_S)
        return [each for each in found if each.instance != self.own.instance]


def _at_work(records: Sequence[ProcessRecord]) -> Iterator[ProcessRecord]:
    """Yield the records whose process has not been replaced by a new process of the same name."""
    newest: dict[str, float] = {}
    for each in records:
        newest[each.process] = max(each.at, newest.get(each.process, 0.0))
    for each in records:
        if each.at > newest[each.process] - _REPLACED_AFTER_S:
            yield each


def _report(record: ProcessRecord) -> ProcessReport:
    try:
        state = ProcessState.model_validate(record.body)
    except ValidationError:
        state = None
    return ProcessReport(process=str(shown(record.process)), at=record.at, state=state)
