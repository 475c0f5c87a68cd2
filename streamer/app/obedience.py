"""Lets subscribers do what was switched, in this process or another."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

import structlog

from streamer.app.redriving import Redrives
from streamer.clock import Clock
from streamer.controls import AuditRecord, Control, Switch, Switchboard
from streamer.dispatch.dispatcher import Dispatcher
from streamer.errors import LogUnavailable
from streamer.events import SubscriberName
from streamer.ports import Controls

_log = structlog.get_logger()

_PAUSE_S = 1.0


@dataclass(slots=True, kw_only=True)
class Obedience:
    """Follows the switchboard in the log, and keeps there what a subscriber switches itself."""

    log: Controls
    clock: Clock
    dispatchers: Mapping[SubscriberName, Dispatcher]
    group: asyncio.TaskGroup
    redrives: Redrives
    _controls: dict[SubscriberName, Control] = field(default_factory=dict, init=False)
    _known: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    _keeping: set[asyncio.Task[None]] = field(default_factory=set, init=False)

    async def run(self) -> None:
        """Obey until cancelled."""
        async for board in self.log.switched():
            self._obey(board)
            self.redrives.are(board.redrives)
            self._known.set()

    async def known(self) -> None:
        """Wait until it is known what is switched."""
        await self._known.wait()

    def greet(self, name: SubscriberName) -> None:
        """Tell a new dispatcher what is switched."""
        control = self._controls.get(name)
        if control is not None and control.switch is Switch.PAUSED:
            self.dispatchers[name].admission.pause(_reason(control))

    def paused_by(self, name: SubscriberName, by: str, reason: str) -> None:
        """Keep a pause that the subscriber's guard or target asked for, for everybody and after a restart."""
        control = Control(subscriber=name, switch=Switch.PAUSED, by=by, at=self.clock.now(), reason=reason)
        self._controls[name] = control
        task = self.group.create_task(self._keep(control), name=f"pause {name}")
        self._keeping.add(task)
        task.add_done_callback(self._keeping.discard)

    def close(self) -> None:
        """Give up what could not be kept."""
        self.redrives.close()
        for task in self._keeping:
            task.cancel()

    def _obey(self, board: Switchboard) -> None:
        for name, control in board.controls.items():
            # Only what has changed: a pause of our own may be on its way into the log.
            if control == self._controls.get(name):
                continue
            self._controls[name] = control
            if name not in self.dispatchers:
                continue
            if control.switch is Switch.PAUSED:
                self.dispatchers[name].admission.pause(_reason(control))
            else:
                self.dispatchers[name].admission.resume()
            _log.info("subscriber.switched", subscriber=name, to=control.switch, by=control.by)

    async def _keep(self, control: Control) -> None:
        audit = AuditRecord(
            at=control.at,
            what="subscriber.paused",
            by=control.by,
            subscriber=control.subscriber,
            detail={"reason": control.reason},
        )
        while True:
            try:
                await self.log.switch(control, audit)
            except LogUnavailable as error:
                _log.warning("control.not_kept", subscriber=control.subscriber, reason=str(error))
                await self.clock.sleep(_PAUSE_S)
            else:
                return


def _reason(control: Control) -> str:
    return f"{control.reason} (by {control.by})" if control.reason else f"by {control.by}"
