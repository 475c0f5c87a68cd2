"""Reporter of this process: writes its state, and its samples, for the pages of the other processes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from streamer.admin.processes.reports import OwnReports
from streamer.admin.processes.state import ProcessState
from streamer.errors import LogMisconfigured, LogUnavailable
from streamer.events import JsonObject
from streamer.flow.report import FlowReport
from streamer.later import LaterLogger
from streamer.ports import ProcessRecordKind

_EVERY_S = 10.0
# The charts of other processes have a point for each minute.
_SAMPLE_EVERY = 6
# Listing parked keys and problems takes longer than all the rest.
_LISTS_EVERY = 3
# A topic that somebody has to create is looked for less often.
_MISCONFIGURED_S = 60.0
_log = LaterLogger()


@dataclass(slots=True, kw_only=True)
class ProcessReporter:
    """Reports the state every ten seconds, and a sample every minute; nothing if the log has one process.

    The lists of parked keys and problems in a state are up to 30 s old.
    `counts` returns the numbers of the last minute and hour, and `sample` the newest
    sample of this process's metrics.
    """

    flow: FlowReport
    counts: Callable[[], Mapping[str, float]]
    sample: Callable[[], JsonObject]
    _number: int = field(default=0, init=False)
    _former: ProcessState | None = field(default=None, init=False)
    _has_failed: bool = field(default=False, init=False)
    _error: str = field(default="", init=False)

    async def run(self) -> None:
        """Report until cancelled. A report that fails is missing, and the next one follows."""
        while True:
            await self.flow.admin.clock.sleep(await self._report())

    async def _report(self) -> float:
        """Report once, and return the pause until the next report."""
        try:
            if not self._reports.is_alone:
                await self._reports.report(ProcessRecordKind.STATE, await self._state())
                if self._number % _SAMPLE_EVERY == 0:
                    await self._reports.report(ProcessRecordKind.SAMPLE, self.sample())
                self._number += 1
        except LogUnavailable:
            # The log's own condition says so, on every page and in the log output.
            return _EVERY_S
        except LogMisconfigured as error:
            if str(error) != self._error:
                self._error = str(error)
                _log.warning("process.not_reported", reason=self._error)
            return _MISCONFIGURED_S
        except Exception:  # noqa: BLE001 - deliveries must not end because a report can't be made
            if not self._has_failed:
                self._has_failed = True
                _log.exception("process.not_reported")
            return _EVERY_S
        self._error, self._has_failed = "", False
        return _EVERY_S

    async def _state(self) -> JsonObject:
        former = self._former if self._number % _LISTS_EVERY else None
        self._former = await self.flow.own_state(self.counts(), former)
        return self._former.as_body()

    @property
    def _reports(self) -> OwnReports:
        return self.flow.admin.reports.own
