"""Readiness probes: events can flow into the log and out of it."""

from dataclasses import dataclass

from streamer.supervision.health import Health, ProbeKind, ProbeResult
from streamer.supervision.status import Status

_STANDBY = (
    "Standby: the channels are read by other processes; this one is logged in and a member of the group."
)


@dataclass(frozen=True, slots=True)
class Readiness:
    """Readiness probes of the daemon's parts.

    A target that is away leaves the process ready: its backlog stays in the
    log. The sentence of the subscribers says what is wrong with it.
    """

    status: Status

    def register(self, health: Health) -> None:
        """Add the probes to `health`."""
        health.register(ProbeKind.READINESS, "connections", self._connections)
        health.register(ProbeKind.READINESS, "log", self._log)
        health.register(ProbeKind.READINESS, "channels", self._channels)
        health.register(ProbeKind.READINESS, "subscribers", self._subscribers)

    def _connections(self) -> ProbeResult:
        if self.status.stops:
            return ProbeResult(ok=False, sentence="This process is stopping.")
        if self.status.waits:
            return ProbeResult(ok=False, sentence="; ".join(self.status.waits))
        return ProbeResult(ok=True, sentence="Nothing is being waited for.")

    def _log(self) -> ProbeResult:
        log = self.status.log
        if log is None:
            return ProbeResult(ok=False, sentence="The log is not open yet.")
        outage = log.outage
        return ProbeResult(ok=not outage, sentence=outage or "The log can be used.")

    def _channels(self) -> ProbeResult:
        if not self.status.ingests:
            return ProbeResult(ok=True, sentence="This process reads no channels.")
        if not self.status.has_joined:
            return ProbeResult(
                ok=False, sentence="This process has not joined the group that shares the channels yet."
            )
        channels, problems = self.status.channels, self.status.channel_problems()
        if not channels:
            return ProbeResult(ok=True, sentence=_STANDBY)
        return ProbeResult(
            ok=not problems, sentence="; ".join(problems) or f"Channels subscribed: {len(channels)}."
        )

    def _subscribers(self) -> ProbeResult:
        # A plugin that can't be opened waits for its target.
        if absent := sorted(self.status.absent):
            return ProbeResult(ok=False, sentence=f"{', '.join(absent)}: no place in the log yet.")
        problems = [*self.status.plugin_problems(), *self.status.delivery_problems()]
        follow = f"Subscribers that follow the log: {len(self.status.configured)}."
        return ProbeResult(ok=True, sentence="; ".join(problems) or follow)
