"""Armed faults, and the counts of the faults that struck."""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

HANDSHAKE: Final = "handshake"
CONNECT: Final = "connect"
SUBSCRIBE: Final = "subscribe"
STREAM: Final = "stream"
TOPIC: Final = "topic"
SCHEMA: Final = "schema"
PUBLISH: Final = "publish"
OUTBOUND: Final = "outbound"
CREATE: Final = "create"
UPDATE: Final = "update"
DELETE: Final = "delete"
UNDELETE: Final = "undelete"
READ: Final = "read"
WRITE: Final = "write"
RECORD: Final = "record"
JOB: Final = "job"
RESULTS: Final = "results"


@dataclass(frozen=True, slots=True, kw_only=True)
class InjectionPoint:
    """A point at which a fault can strike, such as the answer to a request; `on` is its kind.

    Over CometD, the kinds are handshake, connect and subscribe. Over the Pub/Sub API,
    they are the start of a subscription (`subscribe`), an open subscription (`stream`),
    GetTopic, GetSchema, and a publish call. Over REST, they are a call that reads or
    writes, one written record of a collection, a query job that begins to run, and a
    read of the job's results. Further kinds are the org's own request with an outbound
    message, and the announcement of a change to one record, such as a `create`.

    `path` is the channel of a subscription, the name of an outbound message, or the
    type of a record or of a job's records. `version` is the version of the endpoint,
    and `events` is the number of events in the answer.
    """

    on: str
    path: str | None = None
    version: float = 0.0
    events: int = 0


@dataclass(slots=True, kw_only=True, eq=False)
class Fault:
    """One fault, armed for `times` matching injection points; with `None`, it strikes until it is healed.

    The fault is due once the server has delivered `due_after` events in total. With
    `ends_hold`, a held connect is answered as soon as the fault is due.
    """

    name: str
    on: frozenset[str]
    times: int | None = 1
    due_after: int = 0
    path: str | None = None
    since_version: float = 0.0
    needs_events: bool = False
    ends_hold: bool = False
    settings: dict[str, Any] = field(default_factory=dict)

    def matches(self, point: InjectionPoint) -> bool:
        """Return whether the fault can strike at `point`."""
        return (
            point.on in self.on
            and self.path in (None, point.path)
            and point.version >= self.since_version
            and (point.events > 0 or not self.needs_events)
        )


class ArmedFaults:
    """Decides at each injection point which fault strikes, and counts the strikes.

    `struck` counts the strikes by the name of the fault. `delivered` counts the events
    that the server wrote into answers, and `lost` counts the events among them that a
    fault kept from the client.
    """

    def __init__(self) -> None:
        self.struck: Counter[str] = Counter()
        self.delivered = 0
        self.lost = 0
        self._armed: list[Fault] = []
        self._healed = asyncio.Event()
        self._listeners: list[Callable[[], None]] = []

    @property
    def faults(self) -> tuple[Fault, ...]:
        """The faults that have strikes left."""
        return tuple(self._armed)

    def listen(self, listener: Callable[[], None]) -> None:
        """Call `listener` whenever a fault is armed."""
        self._listeners.append(listener)

    def arm(self, fault: Fault, *, after_events: int = 0) -> None:
        """Let `fault` strike once the server has delivered `after_events` more events."""
        fault.due_after = self.delivered + after_events
        self._armed.append(fault)
        for listener in self._listeners:
            listener()

    def strike(self, name: str, point: InjectionPoint) -> Fault | None:
        """Use up one strike of the first matching fault that is due, and return the fault.

        Else return `None`.
        """
        for fault in self._armed:
            if fault.name == name and fault.due_after <= self.delivered and fault.matches(point):
                self._use(fault)
                return fault
        return None

    def ends_hold(self, point: InjectionPoint) -> bool:
        """Return whether a fault demands that a held connect is answered now."""
        return any(
            fault.ends_hold and fault.due_after <= self.delivered and fault.matches(point)
            for fault in self._armed
        )

    def events_until_due(self) -> int | None:
        """Return the number of events until the next fault is due, or `None` if no fault waits."""
        return min(
            (fault.due_after - self.delivered for fault in self._armed if fault.due_after > self.delivered),
            default=None,
        )

    def heal(self, name: str | None = None) -> None:
        """Disarm the faults with this name, or all faults, and release the answers that they hold back."""
        self._armed = [fault for fault in self._armed if name not in (None, fault.name)]
        self._healed.set()
        self._healed = asyncio.Event()

    async def until_healed(self) -> None:
        """Wait for the next `heal`."""
        await self._healed.wait()

    def _use(self, fault: Fault) -> None:
        self.struck[fault.name] += 1
        if fault.times is not None:
            fault.times -= 1
            if fault.times <= 0:
                self._armed.remove(fault)
