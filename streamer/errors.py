"""Errors, grouped by the caller's reaction.

    StreamerError
    ├── RetryLater            try the same again, with back-off
    │   ├── SalesforceUnavailable
    │   ├── ServiceUnavailable
    │   └── LogUnavailable
    ├── SetAside              this event can't continue, but the channel can
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

A message is one sentence that says what the operator can do. Data are passed as
attributes, and never contain a secret.
"""

from collections.abc import Iterator, Sequence
from typing import TypeVar

from streamer.events import Event
from streamer.known_secrets import KNOWN


class StreamerError(Exception):
    """Base of the errors that Streamer raises on purpose; the message hides all known secrets."""

    def __init__(self, message: str = "") -> None:
        super().__init__(*([KNOWN.hidden(message)] if message else []))


_Error = TypeVar("_Error", bound=Exception)


def leaves(group: BaseExceptionGroup[_Error]) -> Iterator[_Error]:
    """Yield the errors of `group` and of its inner groups."""
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from leaves(error)
        else:
            yield error


class RetryLater(StreamerError):
    """The other side is unreachable or busy; another try loses nothing.

    `after_s` is the requested pause in seconds.
    """

    def __init__(self, message: str, *, after_s: float | None = None) -> None:
        super().__init__(message)
        self.after_s = after_s


class SalesforceUnavailable(RetryLater):
    """Salesforce can't be reached, or is too busy: check its status page if this lasts."""


class ServiceUnavailable(RetryLater):
    """A service for `enrich` can't be reached, or is too busy: check the service if this lasts."""


class LogUnavailable(RetryLater):
    """The log did not accept or return events: check the brokers, or the disk."""


class SetAside(StreamerError):
    """An event can't be processed; it becomes a dead letter."""


class UnreadableEvent(SetAside):
    """A message does not have the form that its channel promises."""


class EventsRefused(SetAside):
    """The log will never accept `events`, for example because of their size."""

    def __init__(self, message: str, *, events: Sequence[Event]) -> None:
        super().__init__(message)
        self.events = tuple(events)


class BrokenRoute(SetAside):
    """A subscriber's when, body, content or text fails for an event: correct it, then redrive."""


class RecordsRefused(SetAside):
    """Records can't be read: check the names, and the permissions of the org's user or the service's client.

    `field` is the name of the refused field, or empty if the refusal is not about a
    field. `code` is the error code of Salesforce or of the service.
    """

    def __init__(self, message: str, *, code: str, field: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.field = field


class Stop(StreamerError):
    """Another try would fail again, or lose events, until an operator acts."""


class ConfigurationError(Stop):
    """The configuration has a mistake: the message names the file, the key and the allowed values."""


class CredentialsRefused(Stop):
    """Salesforce, the log or a target refused our credentials."""


class ServiceRefused(Stop):
    """A service for `enrich` refuses all requests: check its address and our credentials."""


class OrgChanged(Stop):
    """The login leads to another org than intended: correct the login, or set the new org."""


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
    """A replay would use up the day's events: wait until more events are left, or allow the replay."""


class PublishingRefused(Stop):
    """Salesforce accepts no event of this kind from us: check its name and the user's permissions."""


class MostlyUnreadable(Stop):
    """Most messages of a channel can't be read: the schema is broken, not a single event."""


class LogMisconfigured(Stop):
    """The log can't keep events: wrong topic settings, a second owner, or a missing permission."""


class ForeignRecord(LogMisconfigured):
    """Streamer's own part of the log has a record that Streamer did not write."""


class Fenced(Stop):
    """Another process owns these channels now; this process must release them."""
