"""What can go wrong, by what the caller does about it.

    StreamerError
    ├── RetryLater            try the same thing again, with back-off
    │   ├── SalesforceUnavailable
    │   └── LogUnavailable
    ├── SetAside              this event can't go on, the channel can
    │   ├── UnreadableEvent
    │   ├── EventsRefused
    │   └── BrokenRoute
    └── Stop                  someone must act first
        ├── ConfigurationError
        ├── CredentialsRefused
        ├── SubscriptionRefused
        ├── ReplayIdRefused
        ├── MostlyUnreadable
        ├── LogMisconfigured
        └── Fenced

A message is one sentence for the operator that says what to do. Data travel
as attributes, and never hold a secret.
"""

from collections.abc import Iterator, Sequence
from typing import TypeVar

from streamer.events import Event


class StreamerError(Exception):
    """Everything that Streamer raises on purpose."""


_Error = TypeVar("_Error", bound=Exception)


def leaves(group: BaseExceptionGroup[_Error]) -> Iterator[_Error]:
    """Yield what is in `group` and in the groups within it."""
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from leaves(error)
        else:
            yield error


class RetryLater(StreamerError):
    """The other side is away or busy; nothing is lost by trying again.

    `after_s` is how long it asked to be left alone, in seconds.
    """

    def __init__(self, message: str, *, after_s: float | None = None) -> None:
        """Keep `message` for the operator and `after_s` for the caller."""
        super().__init__(message)
        self.after_s = after_s


class SalesforceUnavailable(RetryLater):
    """Salesforce can't be reached or is too busy: check its status page if this lasts."""


class LogUnavailable(RetryLater):
    """The log did not take or give events: check the brokers, or the disk."""


class SetAside(StreamerError):
    """An event can't be processed; it becomes a dead letter."""


class UnreadableEvent(SetAside):
    """A message does not have the shape that its channel promises."""


class EventsRefused(SetAside):
    """The log refuses these events for good, such as for their size."""

    def __init__(self, message: str, *, events: Sequence[Event]) -> None:
        """Keep the refused `events` for the caller."""
        super().__init__(message)
        self.events = tuple(events)


class BrokenRoute(SetAside):
    """A subscriber's when, body or text can't be evaluated for an event: mend it, then redrive."""


class Stop(StreamerError):
    """Going on would fail again or lose events until someone acts."""


class ConfigurationError(Stop):
    """The configuration has a mistake: the message names the file, the key and what is allowed."""


class CredentialsRefused(Stop):
    """Salesforce, the log or a target refused who we are."""


class SubscriptionRefused(Stop):
    """Salesforce refused a channel: check its name and the user's permissions."""

    def __init__(self, message: str, *, path: str) -> None:
        """Name the channel by its `path`."""
        super().__init__(message)
        self.path = path


class ReplayIdRefused(Stop):
    """Salesforce no longer knows the replay id of a channel's checkpoint."""

    def __init__(self, message: str, *, path: str) -> None:
        """Name the channel by its `path`."""
        super().__init__(message)
        self.path = path


class MostlyUnreadable(Stop):
    """Most of what a channel sends can't be read: a broken schema, not a poison event."""


class LogMisconfigured(Stop):
    """The log can't keep what it is given: wrong topic settings, a second owner, a missing permission."""


class Fenced(Stop):
    """Another process owns these channels now; this one must let go of them."""
