"""Contract of every plugin, for any protocol."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import replace
from decimal import Decimal
from typing import Any

from pydantic import BaseModel

from streamer.blocking import on_threads
from streamer.clock import Clock, TurnedClock
from streamer.errors import ConfigurationError, Stop
from streamer.events import Delivered, Delivery, Hold, Retry, SubscriberName
from streamer.ports import Batching, Plugin, PluginContext, Subscriber
from streamer.testing.deliveries import a_delivery, an_event
from streamer.testing.trial import (
    ContractBrokenError,
    Trial,
    check,
    expect,
    no_leaks,
    plain_secrets_in,
    secrets_in,
)

_AT_ONCE = 20
_LARGEST_TRIED = 500
# Records with lower numbers have unusual events.
_RECORDS = 100


class SubscriberContract(ABC):
    """Checks for every plugin; `HttpSubscriberContract` adds checks for plugins that use HTTP.

    Write a subclass where pytest looks for tests, under a name that begins with `Test`.
    Set `plugin` to the class behind your entry point and `nowhere` to an address
    without a target; implement `settings` and `target`.

    Each check is a separate method. Override a check that makes no sense for your
    target, and say why.
    """

    plugin: Plugin
    """Class under test."""

    nowhere: str
    """Address without a target."""

    secrets: tuple[str, ...] = ()
    """Additional secret texts that the settings do not type as `SecretStr`."""

    attempt_limit_s = 5.0
    """Longest allowed attempt in seconds of real time, for any behaviour of the target."""

    @abstractmethod
    def settings(self, address: str) -> Mapping[str, Any]:
        """Return settings for deliveries to the target at `address`, without pauses between deliveries."""

    @abstractmethod
    def target(self) -> AbstractAsyncContextManager[str]:
        """Run a target that accepts every event inside the context, and yield its address."""

    def delivery(self, number: int) -> Delivery:
        """Return a delivery that the target accepts. Each `number` is a different record."""
        return a_delivery(an_event(number, subject=f"801{number:012d}AAA"))

    def subscriber(self, address: str, clock: Clock) -> Subscriber:
        """Return a subscriber that delivers to `address`, created as in the daemon."""
        context = PluginContext(name=SubscriberName("target"), clock=clock)
        return on_threads(self.plugin(self._read(address), context), name=context.name, threads=_AT_ONCE)

    @asynccontextmanager
    async def trial(self, address: str, clock: Clock | None = None) -> AsyncIterator[Trial]:
        """Open a subscriber that delivers to `address`. Without a `clock`, time stands still."""
        secrets = secrets_in(self._read(address)) | frozenset(self.secrets)
        made = self.subscriber(address, clock or TurnedClock())
        try:
            batching = Batching.of(made)
        except ConfigurationError as error:
            raise ContractBrokenError(f"the plugin's limits of batches are invalid: {error}") from error
        async with made as subscriber:
            yield Trial(
                subscriber=subscriber,
                attempt_limit_s=self.attempt_limit_s,
                batching=batching,
                secrets=secrets,
            )

    @check
    async def test_settings_do_not_show_their_secrets(self) -> None:
        """Settings appear in logs and error messages."""
        settings = self._read(self.nowhere)
        if plain := plain_secrets_in(settings):
            names = ", ".join(sorted(plain))
            raise ContractBrokenError(
                f"the setting {names} is a plain text: declare the setting as pydantic.SecretStr"
            )
        if any(secret in repr(settings) for secret in secrets_in(settings) | frozenset(self.secrets)):
            raise ContractBrokenError(
                "repr() of the settings shows a secret: declare the secret as pydantic.SecretStr"
            )

    @check
    async def test_delivers(self) -> None:
        """The target accepts an event, and the outcome is `Delivered`."""
        async with self.target() as address, self.trial(address) as trial:
            await trial.expect(Delivered, self.delivery(1), when="the target accepted the event")

    @check
    async def test_opens_and_closes_twice(self) -> None:
        """The same settings can create a new subscriber, as after a rebalance or a restart."""
        async with self.target() as address:
            async with self.trial(address):
                pass
            for number in (1, 2):
                async with self.trial(address) as trial:
                    await trial.expect(
                        Delivered, self.delivery(number), when=f"the plugin is open (opening number {number})"
                    )

    @check
    async def test_takes_many_keys_at_once(self) -> None:
        """Deliveries of different records do not disturb each other."""
        async with self.target() as address, self.trial(address) as trial:
            when = f"{_AT_ONCE} deliveries run at once"
            await asyncio.gather(
                *(trial.expect(Delivered, self.delivery(number), when=when) for number in range(_AT_ONCE))
            )

    @check
    async def test_every_event_has_an_outcome(self) -> None:
        """The plugin skips or rejects events that it can't use, instead of raising an exception."""
        async with self.target() as address, self.trial(address) as trial:
            for delivery in _odd(self.delivery(1)):
                await trial.outcome(delivery)

    @check
    async def test_takes_batches_of_any_size(self) -> None:
        """A plugin with `deliver_many` accepts `batch_size` events in one call, and also a single event."""
        async with self.target() as address, self.trial(address) as trial:
            if trial.batching is None:
                return
            for size in (1, min(trial.batching.size, _LARGEST_TRIED)):
                many = [self.delivery(number) for number in range(size)]
                await trial.expect_all(Delivered, many, when=f"one call has {size} deliveries")

    @check
    async def test_batch_has_the_outcomes_of_its_events(self) -> None:
        """Each event in a batch has its own outcome at its own index, whatever the other events are."""
        async with self.target() as address, self.trial(address) as trial:
            if trial.batching is None:
                return
            for size, odd in enumerate(_odd_records(self.delivery), start=1):
                alone = type(await trial.outcome(odd))
                many = [odd, *(self.delivery(_RECORDS + number) for number in range(2))]
                many = many[: trial.batching.size]
                if size % 2:
                    many.reverse()
                for delivery, outcome in zip(many, await trial.outcomes(many), strict=True):
                    expected = alone if delivery is odd else Delivered
                    when = (
                        f"the batch contains an event that, delivered alone, has the outcome {alone.__name__}"
                    )
                    expect(expected, outcome, when=when)

    @check
    async def test_missing_target_fails_a_batch(self) -> None:
        """Without a target, all events of a batch are retried."""
        async with AsyncExitStack() as stack:
            try:
                trial = await stack.enter_async_context(self.trial(self.nowhere))
            except ContractBrokenError:
                raise
            except Exception:  # noqa: BLE001 - after it the daemon opens again, as another check says
                return
            if trial.batching is not None:
                many = [self.delivery(number) for number in range(2)]
                await trial.expect_all(Retry | Hold, many, when="there is no target")

    @check
    async def test_missing_target_is_tried_again(self) -> None:
        """An unavailable target neither loses events nor stops the daemon."""
        async with AsyncExitStack() as stack:
            # Creating a subscriber does no I/O, so it must not fail.
            self.subscriber(self.nowhere, TurnedClock())
            try:
                trial = await stack.enter_async_context(self.trial(self.nowhere))
            except Stop as error:
                raise ContractBrokenError(
                    f"opening the plugin raised {type(error).__name__}, which stops the subscriber "
                    f"permanently: raise {type(error).__name__} only for mistakes that an operator "
                    "must correct"
                ) from error
            except Exception:  # noqa: BLE001 - after any other error the daemon opens again
                return
            await trial.expect(Retry | Hold, self.delivery(1), when="there is no target")

    @check
    async def test_leaves_nothing_open(self) -> None:
        """A closed subscriber leaves no resource open, because a daemon opens many subscribers over time."""
        async with no_leaks(), self.target() as address:
            await self._come_and_go(address)

    async def _come_and_go(self, address: str) -> None:
        async with self.trial(address) as trial:
            await trial.outcome(self.delivery(1))

    def _read(self, address: str) -> BaseModel:
        return self.plugin.Settings.model_validate(dict(self.settings(address)))


def _odd_records(delivery: Callable[[int], Delivery]) -> Iterator[Delivery]:
    """Yield unusual deliveries of different records, based on `delivery` with a record's number."""
    for number, _ in enumerate(_odd(delivery(0))):
        yield list(_odd(delivery(number)))[number]


def _odd(usual: Delivery) -> Iterator[Delivery]:
    """Yield unusual variants of `usual`, each with its own key."""
    events = [
        replace(usual.event, type="salesforce.cdc.Order.deleted"),
        replace(usual.event, type="salesforce.cdc.Order.gap"),
        replace(usual.event, type="salesforce.event.Order_Placed__e", subject=None),
        replace(usual.event, data={}),
        replace(usual.event, data={"fields": None}),
        replace(usual.event, data={"fields": {"Name": "\x00\r\n<&> ü 😀", "Amount": 2**70, "Lines": [None]}}),
    ]
    shapes: list[tuple[Any, str | None]] = [
        ({}, ""),
        ([], "x" * 100_000),
        ("text", "\x00\r\n<&> ü 😀"),
        (2**70, None),
        ({"amount": Decimal("12345678901234567.89")}, None),
    ]
    odd = [replace(usual, event=event) for event in events]
    odd += [replace(usual, body=body, text=text) for body, text in shapes]
    for number, delivery in enumerate(odd):
        yield replace(delivery, key=f"{usual.key}:odd-{number}")
