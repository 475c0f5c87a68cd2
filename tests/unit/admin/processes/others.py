"""Reports of other processes, as they write them into the log that they share with this process."""

from typing import Any

from streamer.ports import ProcessRecord, ProcessRecordKind
from tests.unit.admin.world import World
from tests.unit.dispatch.world import TARGET

CALM: dict[str, Any] = {
    "held": "",
    "breaker": "closed",
    "down_since": None,
    "lag": 0,
    "oldest_waits_s": 0.0,
    "late": "",
    "waiting": 0,
    "parked": 0,
    "in_flight": 0,
    "limit": 10,
    "failing": None,
    "next_try": None,
}


def failing(since: str, at: str, *, count: int = 1, error: str = "answered 503") -> dict[str, Any]:
    """Return failures in a row at these times of the first day of 2025."""
    return {
        "error": error,
        "class": "http_5xx",
        "since": f"2025-01-01T{since}Z",
        "at": f"2025-01-01T{at}Z",
        "count": count,
    }


def a_share(state: str = "delivering", **here: Any) -> dict[str, Any]:
    """Return the subscriber `TARGET` in another process."""
    return {TARGET: {"state": state, "blocked": "", "per_second": 2.5, "here": CALM | here}}


def a_key(name: str, due_at: str) -> dict[str, Any]:
    """Return a key that another process has parked, due at this time of the first day of 2025."""
    return {
        "subscriber": TARGET,
        "key": name,
        "state": "waiting",
        "events": 1,
        "attempts": 2,
        "due_at": f"2025-01-01T{due_at}Z",
        "error": "answered 503",
        "first_failed_at": None,
        "first_error": "answered 503",
        "topic": "salesforce.cdc.Account",
        "partition": 1,
        "offset": 7,
    }


def tell(world: World, name: str, body: Any, *, age_s: float = 0.0, kind: str = "state") -> None:
    """Let the process `name` have reported `body`, `age_s` ago."""
    world.log.processes.records.append(
        ProcessRecord(
            process=name,
            instance=f"instance of {name}",
            kind=ProcessRecordKind(kind),
            at=world.clock.now() - age_s,
            body=body,
        )
    )
