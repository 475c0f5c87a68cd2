"""Loop guard, which recognises change events that this deployment itself has caused.

A change event contains the user and the origin of its transaction, such as
`com/salesforce/api/rest/64.0;client=acme-erp-bus`. The client comes from the header
`Sforce-Call-Options` (CDC guide, change event header fields).
"""

from typing import Any

from streamer.events import Event, short_id


def is_of_client(event: Event, client_name: str) -> bool:
    """Return whether a client with exactly this name made the change."""
    origin = _transaction(event).get("origin")
    if not isinstance(origin, str):
        return False
    return any(part.strip() == f"client={client_name}" for part in origin.split(";")[1:])


def is_of_user(event: Event, user: str) -> bool:
    """Return whether this user made the change."""
    by = _transaction(event).get("user")
    return isinstance(by, str) and bool(user) and short_id(by) == short_id(user)


def _transaction(event: Event) -> dict[str, Any]:
    transaction = event.data.get("transaction")
    return transaction if isinstance(transaction, dict) else {}
