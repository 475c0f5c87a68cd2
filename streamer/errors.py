"""Errors, by what the caller does about them.

    StreamerError
    ├── RetryLater            try the same thing again, with back-off
    │   ├── SalesforceUnavailable
    │   ├── ServiceUnavailable
    │   └── LogUnavailable
    ├── SetAside              this event can't go on, the channel can
    │   ├── UnreadableEvent
    │   ├── EventsRefused
    │   ├── BrokenRoute
    │   └── RecordsRefused
    └── Stop                  an operator must act first
        ├── ConfigurationError
        ├── CredentialsRefused
        ├── ServiceRefused
        ├── OrgChanged
        ├── SubscriptionRefused
        ├── ReplayIdRefused
        ├── AllowanceLow
        ├── PublishingRefused
        ├── MostlyUnreadable
        ├── LogMisconfigured
        │   └── ForeignRecord
        └── Fenced

A message is one sentence that tells the operator what to do. Data travel as
attributes, and never hold a secret.
"""

from collections.abc import Iterator, Sequence
from typing import TypeVar

from streamer.events import Event
from streamer.known_secrets import KNOWN


class StreamerError(Exception):
    """Base of the errors that Streamer raises on purpose; its message repeats no secret that is in use."""

    def __init__(self, message: str = "") -> None:
        super().__init__(*([KNOWN.hidden(message)] if message else []))


_Error = TypeVar("_Error", bound=Exception)


def leaves(group: BaseExceptionGroup[_Error]) -> Iterator[_Error]:
    """Yield the errors of `group` and of the groups within it."""
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from leaves(error)
        else:
            yield error


class RetryLater(StreamerError):
    """The other side is away or busy; trying again loses nothing.

    `after_s` is the pause that it asked for, in seconds.
    """

    def __init__(self, message: str, *, after_s: float | None = None) -> None:
        super().__init__(message)
        self.after_s = after_s


class SalesforceUnavailable(RetryLater):
    """Salesforce can't be reached, or is too busy: check its status page if this lasts."""


class ServiceUnavailable(RetryLater):
    """A service that `enrich` asks can't be reached, or is too busy: check it if this lasts."""


class LogUnavailable(RetryLater):
    """The log did not take or return events: check the brokers, or the disk."""


class SetAside(StreamerError):
    """An event can't be processed; it becomes a dead letter."""


class UnreadableEvent(SetAside):
    """A message does not have the shape that its channel promises."""


class EventsRefused(SetAside):
    """The log refuses `events` for good, such as for their size."""

    def __init__(self, message: str, *, events: Sequence[Event]) -> None:
        super().__init__(message)
        self.events = tuple(events)


class BrokenRoute(SetAside):
    """A subscriber's when, body, content or text fails on an event: correct it, then redrive."""


class RecordsRefused(SetAside):
    """Records can't be read: check the names, and what the org's user, or a service's client, can see.

    `field` is the name of the field that is refused, and empty when more than a
    field is. `code` is the error code of Salesforce or of the service.
    """

    def __init__(self, message: str, *, code: str, field: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.field = field


class Stop(StreamerError):
    """Going on would fail again, or lose events, until an operator acts."""


class ConfigurationError(Stop):
    """The configuration has a mistake: the message names the file, the key and the allowed values."""


class CredentialsRefused(Stop):
    """Salesforce, the log or a target refused our credentials."""


class ServiceRefused(Stop):
    """A service that `enrich` asks takes no request of ours: check its address and our credentials."""


class OrgChanged(Stop):
    """The login leads to another org than the one that was meant: correct it, or name the new one."""


class SubscriptionRefused(Stop):
    """Salesforce refused the channel `path`: check its name and the user's permissions."""

    def __init__(self, message: str, *, path: str) -> None:
        super().__init__(message)
        self.path = path


class ReplayIdRefused(Stop):
    """Salesforce no longer knows the replay id in the checkpoint of the channel `path`."""

    def __init__(self, message: str, *, path: str) -> None:
        super().__init__(message)
        self.path = path


class AllowanceLow(Stop):
    """A replay would use up the day's events: wait until more of them are left, or allow it."""


class PublishingRefused(Stop):
    """Salesforce takes no event of this kind from us: check its name and the user's permissions."""


class MostlyUnreadable(Stop):
    """Most messages of a channel can't be read: a broken schema, not a poison event."""


class LogMisconfigured(Stop):
    """The log can't keep events: wrong topic settings, a second owner, or a missing permission."""


class ForeignRecord(LogMisconfigured):
    """Streamer's own part of the log holds a record that Streamer did not write."""


class Fenced(Stop):
    """Another process owns these channels now; this one must release them."""
