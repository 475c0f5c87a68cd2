"""Trial of a subscriber: checks outcomes, and finds secrets in them and resources that stay open."""

import asyncio
import gc
import math
import re
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import UnionType
from typing import Any, TypeVar

from pydantic import BaseModel

from streamer import known_secrets
from streamer.clock import SystemClock
from streamer.events import LONGEST_PAUSE_S, Delivery, Hold, Outcome, Retry
from streamer.ports import Batching, Subscriber

_Contract = TypeVar("_Contract")

_LIMIT_S = 20.0
# A closed connection can need some rounds of the loop until it is gone.
_ROUNDS = 50
_ROUND_S = 0.01


class ContractBrokenError(AssertionError):
    """The plugin breaks the contract with dispatch. The message names the fault and the remedy."""


def check(method: Callable[[_Contract], Awaitable[None]]) -> Callable[[_Contract], None]:
    """Turn a coroutine into a plain method that runs the coroutine on a new loop, for at most 20 seconds.

    So the author of a plugin needs no pytest plugin for coroutines.
    """

    def run(self: _Contract) -> None:
        with asyncio.Runner() as runner:
            runner.run(_limited(method(self)))

    # functools.wraps would set __wrapped__, and pytest would treat the method as a coroutine.
    run.__name__, run.__qualname__ = method.__name__, method.__qualname__
    run.__doc__, run.__module__ = method.__doc__, method.__module__
    return run


async def _limited(checking: Awaitable[None]) -> None:
    try:
        async with SystemClock().timeout(_LIMIT_S):
            await checking
    except TimeoutError:
        raise ContractBrokenError(f"the check did not end within {_LIMIT_S:g} s") from None


Kinds = UnionType | type
"""Expected outcome, or several outcomes as `Retry | Hold`."""
_LARGEST_OUTCOME = 100_000
_SHOWN = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """Open subscriber. The trial checks every outcome.

    For any behaviour of the target, `deliver` must return a short outcome without
    secrets and without a senseless pause. An attempt can take `attempt_limit_s`
    seconds of real time.
    """

    subscriber: Subscriber
    attempt_limit_s: float
    batching: Batching | None = None
    secrets: frozenset[str] = field(default=frozenset(), repr=False)

    async def outcome(self, delivery: Delivery) -> Outcome:
        """Return the outcome of one attempt. Raises `ContractBrokenError`."""
        return self._examined(await self._returned("deliver", delivery), "deliver returned")

    async def outcomes(self, deliveries: Sequence[Delivery]) -> list[Outcome]:
        """Return the outcomes of one call of `deliver_many`. Raises `ContractBrokenError`."""
        returned = await self._returned("deliver_many", tuple(deliveries))
        if not isinstance(returned, Sequence) or len(returned) != len(deliveries):
            count = len(returned) if isinstance(returned, Sequence) else type(returned).__name__
            raise ContractBrokenError(
                f"deliver_many returned {count} for {len(deliveries)} deliveries: return a list with "
                "one outcome for each delivery, in the order of the deliveries"
            )
        return [self._examined(outcome, "deliver_many returned a list with") for outcome in returned]

    async def expect(self, kinds: Kinds, delivery: Delivery, *, when: str) -> Outcome:
        """Return the outcome of one attempt, which must be of `kinds`; `when` names the situation."""
        outcome = await self.outcome(delivery)
        expect(kinds, outcome, when=when)
        return outcome

    async def expect_all(self, kinds: Kinds, deliveries: Sequence[Delivery], *, when: str) -> None:
        """Deliver all events in one call; the outcome of each event must be of `kinds`."""
        for outcome in await self.outcomes(deliveries):
            expect(kinds, outcome, when=when)

    async def _returned(self, method: str, delivered: Delivery | Sequence[Delivery]) -> object:
        try:
            async with SystemClock().timeout(self.attempt_limit_s):
                return await getattr(self.subscriber, method)(delivered)
        except TimeoutError as error:
            raise ContractBrokenError(
                f"{method} raised TimeoutError, or took longer than {self.attempt_limit_s:g} s: limit "
                "each wait in the plugin, return Retry after a time-out, and use test settings "
                "without pauses between deliveries"
            ) from error
        except (KeyboardInterrupt, asyncio.CancelledError):
            raise
        except BaseException as error:
            raise ContractBrokenError(
                f"{method} raised {type(error).__name__}: {error}: return an outcome that describes the fault"
            ) from error

    def _examined(self, outcome: object, returned: str) -> Outcome:
        if not isinstance(outcome, Outcome):
            raise ContractBrokenError(
                f"{returned} {type(outcome).__name__}, which is not an outcome: return an outcome "
                "from streamer.events"
            )
        self._examine(outcome)
        return outcome

    def _examine(self, outcome: Outcome) -> None:
        said = repr(outcome)
        if any(secret in said for secret in self.secrets):
            # The outcome is not shown, because the secret can be real.
            raise ContractBrokenError(
                f"the outcome {type(outcome).__name__} contains a secret of the settings: remove the "
                "secret from the texts that the outcome quotes (the target's answer, errors of "
                "libraries)"
            )
        if len(said) > _LARGEST_OUTCOME:
            raise ContractBrokenError(
                f"the outcome {type(outcome).__name__} has {len(said):,} characters: keep only an "
                "excerpt of the target's answer"
            )
        if isinstance(outcome, Retry | Hold) and not _is_sensible(outcome):
            raise ContractBrokenError(
                f"{_short(outcome)} has an invalid after_s: read Retry-After as seconds or as a date, "
                f"and return an after_s above 0 and at most {LONGEST_PAUSE_S:g}"
            )


def expect(kinds: Kinds, outcome: Outcome, *, when: str) -> None:
    """Raise `ContractBrokenError` unless `outcome` is of `kinds`; `when` names the situation."""
    if not isinstance(outcome, kinds):
        raise ContractBrokenError(
            f"{when}: the outcome is {_short(outcome)}, but {_named(kinds)} is expected"
        )


def _is_sensible(outcome: Retry | Hold) -> bool:
    after_s = outcome.after_s
    if after_s is None:
        return isinstance(outcome, Retry)
    return math.isfinite(after_s) and 0 < after_s <= LONGEST_PAUSE_S


def _short(outcome: Outcome) -> str:
    said = repr(outcome)
    return said if len(said) <= _SHOWN else said[:_SHOWN] + "…"


def _named(kinds: Kinds) -> str:
    several = kinds.__args__ if isinstance(kinds, UnionType) else (kinds,)
    return " or ".join(kind.__name__ for kind in several)


_NAME_OF_A_SECRET = re.compile(
    r"(^|_)(secret|password|passphrase|token|api_?key|private_key)$", re.IGNORECASE
)
# A shorter text occurs in many sentences by chance.
_SHORTEST_SECRET = 4


def secrets_in(settings: BaseModel) -> frozenset[str]:
    """Return the secrets in `settings`, at any depth, except very short secrets."""
    return frozenset(text for text in known_secrets.secrets_in(settings) if len(text) >= _SHORTEST_SECRET)


def plain_secrets_in(settings: BaseModel) -> frozenset[str]:
    """Return the names of settings that sound like secrets but are plain texts."""
    found = (name for name, value in _values("", settings) if isinstance(value, str) and value)
    return frozenset(name for name in found if _NAME_OF_A_SECRET.search(name.rpartition(".")[2]))


def _values(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Yield the parts of `value`, each with its dotted name."""
    if isinstance(value, BaseModel | Mapping):
        for key, part in dict(value).items():
            yield from _values(f"{name}.{key}".removeprefix("."), part)
    elif isinstance(value, list | tuple | set | frozenset):
        for part in value:
            yield from _values(name, part)
    else:
        yield name, value


@asynccontextmanager
async def no_leaks() -> AsyncIterator[None]:
    """Raise `ContractBrokenError` when tasks, sessions, sockets or files outlive the context.

    Outside code must not keep references to objects created inside, because the
    garbage collection reports the unclosed objects.
    """
    before = asyncio.all_tasks()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ResourceWarning)
        gc.collect()
        caught.clear()
        yield
        tasks = await _lasting(before)
        gc.collect()
    if tasks:
        names = ", ".join(sorted(task.get_name() for task in tasks))
        raise ContractBrokenError(
            f"tasks still run after closing the plugin ({names}): end these tasks in __aexit__"
        )
    for warning in caught:
        if issubclass(warning.category, ResourceWarning):
            raise ContractBrokenError(
                f"a resource is still open after closing the plugin ({warning.message}): close the "
                "resource in __aexit__"
            )


async def _lasting(before: set[asyncio.Task[object]]) -> set[asyncio.Task[object]]:
    for _ in range(_ROUNDS):
        lasting = asyncio.all_tasks() - before
        if not lasting:
            break
        await SystemClock().sleep(_ROUND_S)
    return lasting
