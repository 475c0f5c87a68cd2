"""Contracts of plugins, which deliver events to targets."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self, runtime_checkable

from pydantic import BaseModel

from streamer.clock import Clock
from streamer.errors import ConfigurationError

if TYPE_CHECKING:
    from streamer.events import Delivery, Outcome, SubscriberName
    from streamer.ports.lookups import Org
    from streamer.ports.writing import Preview

LARGEST_BATCH = 10_000
"""Largest `batch_size` of a plugin."""

BATCH_WAIT_S = 0.01
"""Default time in seconds for which the first delivery of a batch waits for other deliveries."""

LONGEST_BATCH_WAIT_S = 1.0
"""Largest `batch_wait_s` of a plugin, in seconds."""


class Subscriber(Protocol):
    """Delivery to one target; a plugin implements it."""

    async def __aenter__(self) -> Self:
        """Open connections; called once before the first delivery.

        Raises a `Stop`, such as `ConfigurationError`, if an operator must act.
        After any other error, or after the subscriber's `deliver_timeout_s`, the
        daemon opens the subscriber again.
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
        """Try to deliver once, and return the outcome.

        Called for many keys at once, but never twice at once for the same key. An
        exception counts as `Retry`; dispatch retries, not the plugin. A call that
        exceeds the subscriber's `deliver_timeout_s` is cancelled.
        """
        ...


@runtime_checkable
class Previewing(Protocol):
    """Optional ability of a subscriber: it shows what it would send."""

    def preview(self, delivery: Delivery, /) -> Preview | Outcome:
        """Return the first request of `deliver`, or the outcome of `deliver` if it would send nothing.

        Called without opening the subscriber. Makes no connection.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetReport:
    """Result of a harmless call to a target.

    `found` says what the call proved, or what is wrong. If `is_well` is false,
    `remedy` says what to do. Neither text contains a secret.
    """

    is_well: bool
    found: str
    remedy: str = ""


@runtime_checkable
class Examinable(Protocol):
    """Optional ability of a subscriber: it tests its target with calls that change nothing."""

    async def examine_target(self) -> TargetReport:
        """Test the connection and the credentials with calls that change nothing at the target.

        Called without opening the subscriber, possibly while a daemon delivers: the
        method opens its own connections, and takes nothing from that daemon. It
        sends no event. In a blocking plugin, the method is a plain function.
        """
        ...


class BlockingSubscriber(Protocol):
    """Delivery to one target with blocking calls, such as calls of `requests`.

    It can be a context manager, for `with` or `async with`. The daemon enters the
    context manager before the first delivery, and leaves it after the last
    delivery.
    """

    def deliver(self, delivery: Delivery, /) -> Outcome:
        """Try to deliver once, and return the outcome, as `Subscriber.deliver` does.

        Called on several threads at once, for different keys. A call that exceeds
        the subscriber's `deliver_timeout_s` counts as failed but continues; the
        next call for the same key begins only after this call has ended.
        """
        ...


class BatchSubscriber(Subscriber, Protocol):
    """Delivery to a target that accepts several events in one call; a plugin implements it.

    Dispatch calls `deliver_many`, even for a single event. Dispatch calls `deliver`
    only for a test event, and if `batch_size` is 1.
    """

    @property
    def batch_size(self) -> int:
        """Largest number of deliveries in one call, from 1 to `LARGEST_BATCH`; read before `open`."""
        ...

    @property
    def batch_wait_s(self) -> float:
        """Longest time for which the first delivery waits for others, at most `LONGEST_BATCH_WAIT_S` seconds.

        A class without this property waits for `BATCH_WAIT_S`. A batch is sent
        at once if it is full, or if no more deliveries can join it.
        """
        ...

    async def deliver_many(self, deliveries: Sequence[Delivery], /) -> Sequence[Outcome]:
        """Try to deliver each delivery once; return an outcome for each, in the order of `deliveries`.

        No two deliveries of a call share a lane, and therefore no two share a key.
        With `order: none`, they can share a key, and events of a key can overtake
        each other. Several calls can run at once, for different lanes. An
        exception, or a wrong number of outcomes, counts as `Retry` for all
        deliveries. A call that exceeds the subscriber's `deliver_timeout_s` is
        cancelled.
        """
        ...


class BlockingBatchSubscriber(BlockingSubscriber, Protocol):
    """Delivery of several events in one blocking call; see `BatchSubscriber` for the properties."""

    @property
    def batch_size(self) -> int:
        """Largest number of deliveries in one call."""
        ...

    @property
    def batch_wait_s(self) -> float:
        """Longest time in seconds for which the first delivery of a batch waits for other deliveries."""
        ...

    def deliver_many(self, deliveries: Sequence[Delivery], /) -> Sequence[Outcome]:
        """Try to deliver each delivery once, as `BatchSubscriber.deliver_many` does.

        Called on threads. A call that exceeds the subscriber's `deliver_timeout_s`
        counts as failed but continues. Until this call has ended, further events of
        the call's keys are left out of other calls and count as failed.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Batching:
    """Limits of one call of `deliver_many`."""

    size: int
    wait_s: float

    @classmethod
    def of(cls, subscriber: object) -> Batching | None:
        """Return the limits that a subscriber states, or `None` if it takes only single deliveries.

        Raises `ConfigurationError` for invalid limits.
        """
        if not hasattr(subscriber, "deliver_many"):
            return None
        size = getattr(subscriber, "batch_size", None)
        if type(size) is not int or not 1 <= size <= LARGEST_BATCH:
            raise ConfigurationError(
                f"the plugin's batch_size must be a whole number from 1 to {LARGEST_BATCH}"
            )
        wait_s = getattr(subscriber, "batch_wait_s", BATCH_WAIT_S)
        if type(wait_s) not in {int, float} or not 0 <= wait_s <= LONGEST_BATCH_WAIT_S:
            raise ConfigurationError(
                f"the plugin's batch_wait_s must be a number from 0 to {LONGEST_BATCH_WAIT_S:g}"
            )
        return cls(size=size, wait_s=wait_s) if size > 1 else None


def _nothing(_event_type: str) -> bool:
    return False


@dataclass(frozen=True, slots=True, kw_only=True)
class PluginContext:
    """Context of a plugin, in addition to its settings.

    `receives` is true for an event type that a channel of the daemon carries and
    that the subscriber's `on` selects. If the plugin's class sets `uses_org`, `org`
    is the org that the daemon reads.
    """

    name: SubscriberName
    clock: Clock
    org: Org | None = None
    receives: Callable[[str], bool] = _nothing


class Plugin(Protocol):
    """Class behind an entry point of the group `streamer.subscribers`.

    `Settings` validates the `settings` of a subscriber that `uses` the plugin. With
    `takes_content = True`, the plugin sends the `content` of a delivery. With
    `takes_text = False`, the plugin never sends the `text`. With `uses_org = True`,
    the plugin's context has the daemon's org, and the plugin's subscribers are
    created again when the org's settings change.
    """

    # A property, so that a class with a narrower settings type also matches.
    @property
    def Settings(self) -> type[BaseModel]:  # noqa: N802 - a class within the plugin's class
        """Model of the plugin's settings."""
        ...

    def __call__(self, settings: Any, context: PluginContext, /) -> Subscriber | BlockingSubscriber:
        """Return a subscriber, possibly of a kind that takes batches; no I/O happens yet."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class KafkaToken:
    """Token for a login at Kafka by OAUTHBEARER, valid until `expires_at` (epoch seconds)."""

    value: str
    expires_at: float
    principal: str
    extensions: Mapping[str, str] = field(default_factory=dict)


class KafkaTokenProvider(Protocol):
    """Function behind an entry point of the group `streamer.kafka_tokens`."""

    def __call__(self, settings: Mapping[str, Any], /) -> KafkaToken:
        """Return a token; `settings` are those in `log.kafka.security.oauth.settings`.

        Each client of librdkafka calls the function on a thread of its own, before its
        first connection and before a token expires. The call must return within 10 s.
        Any error is logged, and the function is called again after 10 s.
        """
        ...
