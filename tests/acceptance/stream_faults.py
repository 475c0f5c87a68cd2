"""Faults of the Pub/Sub API, in the middle of a stream and when its client subscribes again."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from streamer.sandbox import Sandbox
from tests.configuration import ORDER_KEY
from tests.waiting import LIMIT_S, until

Armed = tuple[str, Mapping[str, Any]]
"""Name and parameters of one of the sandbox's faults."""

_CLOSED: Armed = ("end_stream", {})


def _on_reconnect(name: str, **parameters: Any) -> Sequence[Armed]:
    """Return a fault that strikes the client of a stream that was closed, when it subscribes again."""
    return _CLOSED, (name, {"times": 1, **parameters})


ENDS: Mapping[str, Sequence[Armed]] = {
    "token expired": [("expire_session", {"on": ["stream"]})],
    "token expired on reconnect": _on_reconnect("expire_session", on=["subscribe"]),
    "service unavailable": [("unavailable", {"on": ["stream"]})],
    "connection lost": [("unavailable", {"on": ["stream"], "coded": False})],
    "closed": [_CLOSED],
    "ended with an error": [("end_stream", {"status": "INTERNAL"})],
    "ended with a code": [("end_stream", {"status": "ABORTED", "error_code": "subscription.internal.error"})],
    "asked for too much": [
        ("end_stream", {"status": "INVALID_ARGUMENT", "error_code": "subscription.fetch.overflow"})
    ],
    "cut for its age": _on_reconnect("age_limit", seconds=0.05),
    "quota used up": [("daily_limit", {"times": 1})],
    "too many clients on reconnect": _on_reconnect("client_limit"),
    "permission refused on reconnect": _on_reconnect("deny_subscription"),
    "replay id corrupted": _on_reconnect("refuse_replay_id"),
}
"""Ends of streams that are gone at once, by name: what causes each."""

SCHEMAS: Mapping[str, Sequence[Armed]] = {
    "schema changed": [],
    "schema unknown": [("unknown_schema", {"times": 1})],
    "schema unavailable": [("unavailable", {"on": ["schema"]})],
}
"""Faults that strike when an event of a new schema comes."""


async def strike(sandbox: Sandbox, faults: Sequence[Armed], *, within_s: float = LIMIT_S) -> None:
    """Arm `faults`, and return when all have struck as often as they can; fail if that takes longer."""
    struck = sandbox.faults.struck
    wanted = {name: struck[name] + parameters.get("times", 1) for name, parameters in faults}
    for name, parameters in faults:
        sandbox.faults.arm(name, parameters)

    async def have_struck() -> bool:
        return all(struck[name] >= count for name, count in wanted.items())

    await until(have_struck, limit_s=within_s)
    # A stream that will be cut for its age is not old enough yet.
    await asyncio.sleep(sum(parameters.get("seconds", 0.0) for _, parameters in faults))


def change_schema(sandbox: Sandbox, number: int) -> None:
    """Publish an order and change an account, each with a field that none has had before."""
    field = f"Extra_{number}__c"
    sandbox.org.publish_platform_event("Order_Placed__e", {ORDER_KEY: "A-1", field: "new"})
    with sandbox.org.transaction() as transaction:
        transaction.create("Account", {"Name": f"Extra {number}", field: "new"})
