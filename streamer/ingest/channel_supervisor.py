"""Supervisor of the channels that this process owns: runs and restarts their ingest."""

import asyncio
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, field, replace
from enum import StrEnum

import structlog

from streamer.backoff import Backoff, Jitter
from streamer.clock import Clock
from streamer.errors import Fenced, RetryLater, Stop
from streamer.events import Channel
from streamer.ingest.relay import Ingest
from streamer.ports import Ownership

_log = structlog.get_logger()

_BACKOFF = Backoff(first_s=1.0, limit_s=30.0)
_STOPPED_BACKOFF = Backoff(first_s=1.0, limit_s=300.0)
_STEADY_S = 60.0


class ChannelState(StrEnum):
    """State of one owned channel's ingest."""

    RUNNING = "running"
    RECOVERING = "recovering"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelStatus:
    """State of a channel, with the reason for the state.

    After a failure, the channel is retried, and is running again. `earlier_failure` is
    this failure, until the channel has run for a minute. As long as Salesforce has not
    accepted the subscription, nothing shows that the cause of the failure is gone.
    """

    state: ChannelState
    reason: str = ""
    earlier_failure: "ChannelStatus | None" = None


@dataclass(slots=True)
class _OwnedChannel:
    """One owned channel: its task, its status, its current run, and the event that ends its pause.

    `began` is the time of the current attempt, in monotonic seconds.
    """

    task: "asyncio.Task[None]"
    status: ChannelStatus | None = None
    began: float = 0.0
    run: Ingest | None = None
    retried: asyncio.Event | None = None


@dataclass(slots=True, kw_only=True)
class ChannelSupervisor:
    """Runs one `Ingest` for each owned channel, and restarts an `Ingest` that fails.

    A transient failure is retried with back-off, from the checkpoint in the log. A
    failure that needs an operator is logged and also retried, first after a second
    and later every five minutes, so that a repaired permission needs no restart.
    `joined` is true once this process has received its first share of channels,
    even an empty share. The supervisor stops a channel if another process owns the
    channel, or if the supervisor ends; then it calls `released` for the channel.
    """

    ownership: Ownership
    channels: Sequence[Channel]
    ingest: Callable[[Channel], Ingest]
    clock: Clock
    jitter: Jitter = random.uniform
    released: Callable[[Channel], None] = lambda _: None
    joined: bool = field(default=False, init=False)
    _owned: dict[Channel, _OwnedChannel] = field(default_factory=dict, init=False)

    @property
    def status(self) -> Mapping[Channel, ChannelStatus]:
        """Status of each owned channel; channels of other processes are absent."""
        return {
            channel: self._shown(each.status, each.began)
            for channel, each in self._owned.items()
            if each.status is not None
        }

    @property
    def busy_since(self) -> Mapping[Channel, float]:
        """Time since which each waiting channel has waited for the log, in monotonic seconds."""
        return _known({channel: run.log.busy_since for channel, run in self._runs()})

    @property
    def verified_at(self) -> Mapping[Channel, float]:
        """Time up to which no event of a channel is missing, in epoch seconds; absent while it is unknown."""
        return _known({channel: run.log.verified_at for channel, run in self._runs()})

    def retry_now(self, channel: Channel) -> None:
        """End the pause of a failed channel and try the channel now."""
        owned = self._owned.get(channel)
        if owned is not None and owned.retried is not None:
            owned.retried.set()

    async def run(self) -> None:
        """Follow the ownership until this task is cancelled, then stop every channel."""
        async with asyncio.TaskGroup() as group:
            following = group.create_task(self._follow(group), name="ownership")
            try:
                # Awaiting the task itself would cancel it together with us, before the channels are stopped.
                await asyncio.wait([following])
            finally:
                # Stop before the ownership is released: the next owner must not start
                # while this process still reads.
                while self._owned:
                    await self._stop(list(self._owned))

    async def _follow(self, group: asyncio.TaskGroup) -> None:
        async with aclosing(self.ownership.owned(self.channels)) as changes:
            async for owned in changes:
                await self._stop([channel for channel in self._owned if channel not in owned])
                for channel in sorted(owned - self._owned.keys(), key=str):
                    task = group.create_task(self._keep(channel), name=f"ingest {channel}")
                    self._owned[channel] = _OwnedChannel(task)
                self.joined = True

    async def _keep(self, channel: Channel) -> None:
        owned = self._owned[channel]
        failures = stops = 0
        while True:
            owned.began = began = self.clock.monotonic()
            owned.status = ChannelStatus(state=ChannelState.RUNNING, earlier_failure=owned.status)
            try:
                await self._run(channel, owned)
            except (RetryLater, Fenced) as error:
                failures = 1 if self.clock.monotonic() - began > _STEADY_S else failures + 1
                delay = self._delay(error, failures)
                owned.status = ChannelStatus(state=ChannelState.RECOVERING, reason=str(error))
                _log.warning(
                    "channel.recovering", channel=str(channel), reason=str(error), delay_s=round(delay, 2)
                )
            except Stop as error:
                stops = 1 if self.clock.monotonic() - began > _STEADY_S else stops + 1
                delay = replace(_STOPPED_BACKOFF, jitter=self.jitter).delay_s(stops)
                owned.status = ChannelStatus(state=ChannelState.STOPPED, reason=str(error))
                _log.error("channel.stopped", channel=str(channel), reason=str(error), tried_again_in_s=delay)
            else:
                return
            await self._rest(owned, delay)

    def _shown(self, status: ChannelStatus, began: float) -> ChannelStatus:
        is_steady = self.clock.monotonic() - began > _STEADY_S
        return replace(status, earlier_failure=None) if is_steady and status.earlier_failure else status

    async def _rest(self, owned: _OwnedChannel, delay: float) -> None:
        owned.retried = asyncio.Event()
        with suppress(TimeoutError):
            async with self.clock.timeout(delay):
                await owned.retried.wait()
        owned.retried = None

    async def _run(self, channel: Channel, owned: _OwnedChannel) -> None:
        owned.run = self.ingest(channel)
        try:
            await owned.run.run()
        finally:
            owned.run = None

    def _runs(self) -> Iterator[tuple[Channel, Ingest]]:
        return ((channel, each.run) for channel, each in self._owned.items() if each.run is not None)

    def _delay(self, error: Exception, failures: int) -> float:
        asked = error.after_s if isinstance(error, RetryLater) else None
        return max(asked or 0.0, replace(_BACKOFF, jitter=self.jitter).delay_s(failures))

    async def _stop(self, channels: Sequence[Channel]) -> None:
        stopping = {channel: self._owned[channel] for channel in channels}
        for each in stopping.values():
            each.task.cancel()
        await asyncio.gather(*(each.task for each in stopping.values()), return_exceptions=True)
        for channel, each in stopping.items():
            # Two callers can have waited for the same task.
            if self._owned.get(channel) is each:
                del self._owned[channel]
                self.released(channel)
                _log.info("channel.released", channel=str(channel))


def _known(times: Mapping[Channel, float | None]) -> Mapping[Channel, float]:
    return {channel: time for channel, time in times.items() if time is not None}
