"""Observer of the sessions with Salesforce; it feeds metrics."""

from typing import Protocol


class SessionObserver(Protocol):
    """Counts and measures session events. Its methods must not block or raise."""

    def handshaken(self) -> None:
        """A new session has begun."""
        ...

    def answered(self, events: int, size: int) -> None:
        """An answer with `events` events and `size` bytes was read completely."""
        ...

    def lost(self, reason: str) -> None:
        """A session ended; `reason` is one of a few stable words."""
        ...

    def overdue(self) -> None:
        """Salesforce did not answer in time, and the connection was closed."""
        ...

    def subscribed(self, path: str) -> None:
        """Salesforce accepted the subscription of a channel."""
        ...

    def refused(self, path: str, error: str) -> None:
        """Salesforce refused the subscription of a channel."""
        ...


class NullObserver:
    """Ignores every event."""

    def handshaken(self) -> None:
        """Do nothing."""

    def answered(self, events: int, size: int) -> None:
        """Do nothing."""

    def lost(self, reason: str) -> None:
        """Do nothing."""

    def overdue(self) -> None:
        """Do nothing."""

    def subscribed(self, path: str) -> None:
        """Do nothing."""

    def refused(self, path: str, error: str) -> None:
        """Do nothing."""
