"""Loop guard: tells the change events that this deployment has caused itself.

A change event names the user and the origin of its transaction, such as
`com/salesforce/api/rest/64.0;client=acme-erp-bus`, where the client is what a
`Sforce-Call-Options` header said (CDC guide, change event header fields).
"""

from typing import Any

from streamer.events import Event, short_id


def is_of_client(event: Event, client_name: str) -> bool:
    """Return true for a change that was made under exactly this name."""
    origin = _transaction(event).get("origin")
    if not isinstance(origin, str):
        return False
    return any(part.strip() == f"client={client_name}" for part in origin.split(";")[1:])


def is_of_user(event: Event, user: str) -> bool:
    """Return true for a change that this user made."""
    by = _transaction(event).get("user")
    return isinstance(by, str) and bool(user) and short_id(by) == short_id(user)


def _transaction(event: Event) -> dict[str, Any]:
    transaction = event.data.get("transaction")
    return transaction if isinstance(transaction, dict) else {}
