"""Journal of an org: its changes and its events, including events that the org has deleted."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import orjson

from streamer.sandbox import Sandbox
from tests.acceptance.replica.org_clock import OrgClock
from tests.acceptance.replica.replica import RecordKey, State, differing, state_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed:
    """Change of one record, at the org's time `at`."""

    at: float
    record: RecordKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Announced:
    """Event of one record, or of an entity, that the org published at its time `at`."""

    at: float
    entity: str
    id: str


@dataclass(kw_only=True)
class Journal:
    """Changes, announcements and former states of an org."""

    sandbox: Sandbox
    clock: OrgClock
    path: str
    changes: list[Changed] = field(default_factory=list)
    announced: list[Announced] = field(default_factory=list)
    _states: list[tuple[float, State]] = field(default_factory=list)

    def begin(self) -> None:
        """Follow the org from now on."""
        self.sandbox.org.listen(lambda _: self.note())
        self.sandbox.bus.listen(self._listen)

    def note(self) -> None:
        """Note what is different from before."""
        now, state = self.clock.now(), state_of(self.sandbox)
        former = self._states[-1][1] if self._states else {}
        self.changes += (Changed(at=now, record=key) for key in differing(former, state))
        self._states.append((now, state))

    def state_at(self, at: float) -> State:
        """Return the org's records just before its time `at`."""
        return next((state for then, state in reversed(self._states) if then < at), {})

    def _listen(self, paths: Sequence[str]) -> None:
        if self.path not in paths:
            return
        tip = self.sandbox.bus.newest_replay_id(self.path)
        assert tip is not None
        message = self.sandbox.bus.after(self.path, tip - 1)[-1]
        header = orjson.loads(message.data)["payload"]["ChangeEventHeader"]
        transaction = f"{header['transactionKey']}:{header['sequenceNumber']}"
        self.announced += (
            Announced(at=message.published_at, entity=header["entityName"], id=f"{transaction}:{record_id}")
            for record_id in header["recordIds"]
        )
