"""Reading of Salesforce under the current plan."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

import structlog

from streamer.app.assembly import Log
from streamer.app.ingest.ingesting import Ingesting
from streamer.app.observers import Observers
from streamer.app.reloading import PlanInEffect
from streamer.clock import Clock
from streamer.continuity import SnapshotForecaster
from streamer.errors import Stop, leaves
from streamer.settings import Settings
from streamer.supervision.status import Status

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class SalesforceReading:
    """Reads Salesforce; starts again from the checkpoints when the configured org or channels change.

    Inside the context `forecasting`, the admin API can forecast snapshots.
    """

    in_effect: PlanInEffect
    clock: Clock
    observers: Observers
    status: Status
    forecasting: Callable[[SnapshotForecaster], AbstractContextManager[None]]

    async def run(self, log: Log) -> None:
        """Read until cancelled.

        If Salesforce refuses the login of a new configuration, the previous org and
        channels are used again, once. Raises a `Stop` when an operator must act.
        """
        former: Settings | None = None
        while True:
            self.in_effect.source_replaced.clear()
            current = self.in_effect.settings
            try:
                async with asyncio.TaskGroup() as group:
                    reading = group.create_task(self._ingesting().run(log), name="read Salesforce")
                    await self.in_effect.source_replaced.wait()
                    reading.cancel()
            except* Stop as stop:
                if former is None or not self.status.reading.login_wait:
                    raise
                self._return_to(former, "; ".join(map(str, leaves(stop))))
                former = None
            else:
                former = current
            for path in set(current.paths) - set(self.in_effect.settings.paths):
                self.observers.metrics.forget_channel(path)

    def _return_to(self, former: Settings, reason: str) -> None:
        """Restore the org and the channels of `former`, because Salesforce refused the new ones."""
        _log.error("configuration.refused", reason=reason, in_effect="the previous org and channels")
        self.observers.metrics.process.configuration_refused()
        self.in_effect.return_to(former)

    def _ingesting(self) -> Ingesting:
        self.status.reading.started()
        return Ingesting(
            settings=self.in_effect.settings,
            logins=self.in_effect.plan.logins,
            clock=self.clock,
            observers=self.observers,
            status=self.status,
            protection=self.in_effect.protection,
            forecasting=self.forecasting,
        )
