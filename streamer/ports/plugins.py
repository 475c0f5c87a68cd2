"""Contracts of the plugins, which deliver to targets."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Protocol, Self, runtime_checkable

from pydantic import BaseModel

from streamer.clock import Clock
from streamer.events import (
    Delivery,
    Outcome,
    SubscriberName,
)
from streamer.ports.publishing import Org


class Subscriber(Protocol):
    """Delivery to one target, implemented by a plugin."""

    async def __aenter__(self) -> Self:
        """Open connections; called once before the first delivery.

        Raises a `Stop`, such as `ConfigurationError`, when an operator must
        act. After any other error, or when the subscriber's
        `deliver_timeout_s` is over, the daemon opens it again.
        """
        ...

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close connections; called once after the last delivery."""
        ...

    async def deliver(self, delivery: Delivery, /) -> Outcome:
        """Try once, and return the outcome.

        Called for many keys at once, never twice at once for one key. An
        exception counts as `Retry`; dispatch retries, not the plugin. A call
        that exceeds the subscriber's `deliver_timeout_s` is cancelled.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """What a plugin would send for a delivery, with secrets masked.

    `request` is its first line, such as `POST https://erp.acme.com/invoices`.
    `headers` are what goes beside the `content`, whatever the protocol calls it.
    """

    request: str
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes = b""


@runtime_checkable
class Previewing(Protocol):
    """Subscriber that shows what it would send; a plugin need not."""

    def preview(self, delivery: Delivery, /) -> Preview | Outcome:
        """Return what `deliver` would send first, or its outcome when it would send nothing.

        Called without opening the subscriber. Makes no connection.
        """
        ...


class BlockingSubscriber(Protocol):
    """Delivery to one target by blocking calls, such as those of `requests`.

    It can be a context, `with` or `async with`, which is opened before the
    first delivery and closed after the last one.
    """

    def deliver(self, delivery: Delivery, /) -> Outcome:
        """Try once, and return the outcome, as `Subscriber.deliver` does.

        Called on threads, on several at once for different keys. A call that
        exceeds the subscriber's `deliver_timeout_s` counts as failed but goes
        on; the next call for its key begins when it has ended.
        """
        ...


def _nothing(_event_type: str) -> bool:
    return False


@dataclass(frozen=True, slots=True, kw_only=True)
class PluginContext:
    """Context of a plugin, beside its settings.

    `receives` is true for an event type that a channel of the daemon carries
    and the subscriber's `on` selects. A plugin whose class sets `uses_org` gets
    the `org` that the daemon reads.
    """

    name: SubscriberName
    clock: Clock
    org: Org | None = None
    receives: Callable[[str], bool] = _nothing


class Plugin(Protocol):
    """Class behind an entry point of the group `streamer.subscribers`.

    `Settings` validates the `settings` of a subscriber that `uses` it. A class
    with `takes_content = True` sends the `content` of a delivery. A class with
    `uses_org = True` gets the daemon's org in its context, and its subscribers
    are made again when the org's settings change.
    """

    # A property, so that a class whose settings are of a narrower type fits.
    @property
    def Settings(self) -> type[BaseModel]:  # noqa: N802 - a class within the plugin's class
        """Model of the plugin's settings."""
        ...

    def __call__(self, settings: Any, context: PluginContext, /) -> Subscriber | BlockingSubscriber:
        """Return a subscriber; no I/O happens yet."""
        ...
