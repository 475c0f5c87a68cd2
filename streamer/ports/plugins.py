"""Contracts of the plugins, which deliver to targets."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol, Self, runtime_checkable

from pydantic import BaseModel

from streamer.clock import Clock
from streamer.errors import ConfigurationError
from streamer.events import (
    Delivery,
    Outcome,
    SubscriberName,
)
from streamer.ports.lookups import Org
from streamer.ports.publishing import Preview

LARGEST_BATCH = 10_000
"""Largest `batch_size` of a plugin."""

BATCH_WAIT_S = 0.01
"""Time for which the first delivery of a batch waits for others, where the plugin names none."""

LONGEST_BATCH_WAIT_S = 1.0
"""Largest `batch_wait_s` of a plugin."""


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


@runtime_checkable
class Previewing(Protocol):
    """Subscriber that shows what it would send; a plugin need not."""

    def preview(self, delivery: Delivery, /) -> Preview | Outcome:
        """Return what `deliver` would send first, or its outcome when it would send nothing.

        Called without opening the subscriber. Makes no connection.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetReport:
    """Result of a call that changes nothing at a target.

    `found` says what the call proved, or what is wrong; with `is_well` false,
    `remedy` says what to do. Neither holds a secret.
    """

    is_well: bool
    found: str
    remedy: str = ""


@runtime_checkable
class Examinable(Protocol):
    """Subscriber that can try its target without an effect; a plugin need not."""

    async def examine_target(self) -> TargetReport:
        """Try the way to the target, and the credentials, by calls that change nothing there.

        Called without opening the subscriber, also while a daemon delivers: it
        opens what it needs, and takes nothing over from that daemon. It sends
        no event. A blocking plugin makes it a plain function.
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


class BatchSubscriber(Subscriber, Protocol):
    """Delivery to a target that takes several events in one call, implemented by a plugin.

    Dispatch calls `deliver_many`, also for a single event. It calls `deliver`
    where `batch_size` is 1, and so does the delivery of a test event.
    """

    @property
    def batch_size(self) -> int:
        """Most deliveries in one call, from 1 to `LARGEST_BATCH`; read once, before the plugin is opened."""
        ...

    @property
    def batch_wait_s(self) -> float:
        """Longest time that the first delivery waits for others, up to `LONGEST_BATCH_WAIT_S`.

        A class without it waits for `BATCH_WAIT_S`. A batch goes out at once
        when it is full, or when nothing more can come.
        """
        ...

    async def deliver_many(self, deliveries: Sequence[Delivery], /) -> Sequence[Outcome]:
        """Try each delivery once, and return an outcome for each, in the order of `deliveries`.

        No two of them share a lane, and so a key, unless `order: none` lets
        events of a key overtake each other. Several calls can run at once, for
        different lanes. An exception counts as `Retry` for all of them, and so
        does another number of outcomes. A call that exceeds the subscriber's
        `deliver_timeout_s` is cancelled.
        """
        ...


class BlockingBatchSubscriber(BlockingSubscriber, Protocol):
    """Delivery of several events in one blocking call; `batch_size` and `batch_wait_s` as above."""

    @property
    def batch_size(self) -> int:
        """Most deliveries in one call."""
        ...

    @property
    def batch_wait_s(self) -> float:
        """Longest time that the first delivery waits for others."""
        ...

    def deliver_many(self, deliveries: Sequence[Delivery], /) -> Sequence[Outcome]:
        """Try each delivery once, as `BatchSubscriber.deliver_many` does.

        Called on threads. A call that exceeds the subscriber's
        `deliver_timeout_s` counts as failed but goes on. Until it has ended,
        its events and those of their keys are left out of further calls, and
        count as failed.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Batching:
    """Bounds of one call of `deliver_many`."""

    size: int
    wait_s: float

    @classmethod
    def of(cls, subscriber: object) -> "Batching | None":
        """Return the bounds that a subscriber asks for; `None` if it takes one delivery at a time.

        Raises `ConfigurationError` for bounds that can't be.
        """
        if not hasattr(subscriber, "deliver_many"):
            return None
        size = getattr(subscriber, "batch_size", None)
        if type(size) is not int or not 1 <= size <= LARGEST_BATCH:
            raise ConfigurationError(f"its batch_size must be a whole number from 1 to {LARGEST_BATCH}")
        wait_s = getattr(subscriber, "batch_wait_s", BATCH_WAIT_S)
        if type(wait_s) not in {int, float} or not 0 <= wait_s <= LONGEST_BATCH_WAIT_S:
            raise ConfigurationError(f"its batch_wait_s must be a number from 0 to {LONGEST_BATCH_WAIT_S:g}")
        return cls(size=size, wait_s=wait_s) if size > 1 else None


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
    with `takes_content = True` sends the `content` of a delivery, and one with
    `takes_text = False` never its `text`. A class with `uses_org = True` gets
    the daemon's org in its context, and its subscribers are made again when the
    org's settings change.
    """

    # A property, so that a class whose settings are of a narrower type fits.
    @property
    def Settings(self) -> type[BaseModel]:  # noqa: N802 - a class within the plugin's class
        """Model of the plugin's settings."""
        ...

    def __call__(self, settings: Any, context: PluginContext, /) -> Subscriber | BlockingSubscriber:
        """Return a subscriber, or one of the kinds that take batches; no I/O happens yet."""
        ...
