"""The server node that holds the sessions, as its parts see it."""

from dataclasses import dataclass

from streamer.clock import Clock
from streamer.sandbox.cometd.limits import CometdLimits
from streamer.sandbox.cometd.sessions import Sessions
from streamer.sandbox.faults.armed import PendingFaults
from streamer.sandbox.org.bus import EventBus


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """What everything on one server node shares."""

    bus: EventBus
    clock: Clock
    pending: PendingFaults
    limits: CometdLimits
    sessions: Sessions
