"""Contract of every plugin whose target speaks HTTP."""

import asyncio
from dataclasses import replace

from streamer.events import Delivered, Delivery
from streamer.testing.http.answers import AnswerChecks
from streamer.testing.http.connections import ConnectionChecks
from streamer.testing.http.harness import HttpHarness
from streamer.testing.http.target import Reply, ScriptedTarget
from streamer.testing.trial import ContractBrokenError, check

_HALF = 10


class KeyChecks(HttpHarness):
    """Each delivery carries its own key, and has its own outcome."""

    @check
    async def test_every_attempt_carries_the_same_key(self) -> None:
        """The target recognises a repeated event by the key, even if the daemon was restarted."""
        if self.key_header is None:
            return
        async with self.scripted() as target:
            target.then(Reply(status=500))
            once = await self._keys(target, self.delivery(1))
            again = await self._keys(target, replace(self.delivery(1), attempt=2))
            other = await self._keys(target, self.delivery(2))
            elsewhere = await self._keys(target, replace(self.delivery(1), key="1:another-subscriber"))
        if len(once) != 1 or None in once:
            raise ContractBrokenError(
                f"the header {self.key_header} must contain the delivery's key: found {once}"
            )
        if once != again or once == other:
            raise ContractBrokenError(
                f"the header {self.key_header} must have the same value in each attempt for an event, "
                f"and another value for another event: found {once} and {again} for one event, and "
                f"{other} for another event"
            )
        if once == elsewhere:
            raise ContractBrokenError(
                f"the header {self.key_header} must contain the delivery's key and not the event's "
                f"id, because two subscribers can send the same event: found {once} for both "
                "subscribers"
            )

    @check
    async def test_key_of_any_characters_adds_no_header(self) -> None:
        """A key contains ids from outside, which can have any characters."""
        async with self.connected() as (target, trial):
            await trial.outcome(replace(self.delivery(1), key="a\r\nX-Added: 1\x00 ü 😀 %"))
        if any("X-Added" in request.headers for request in target.requests):
            raise ContractBrokenError("a key with a line break added a header to the request: quote the key")

    @check
    async def test_failures_stay_with_their_deliveries(self) -> None:
        """Among concurrent deliveries, exactly the accepted deliveries succeed."""
        async with self.connected() as (target, trial):
            for _ in range(_HALF):
                target.then(self.accepted, Reply(status=500))
            outcomes = await asyncio.gather(
                *(trial.outcome(self.delivery(number)) for number in range(2 * _HALF))
            )
        delivered = sum(isinstance(outcome, Delivered) for outcome in outcomes)
        if delivered != _HALF:
            raise ContractBrokenError(
                f"the target accepted {_HALF} of {2 * _HALF} deliveries, but the plugin returned "
                f"Delivered for {delivered}: keep no data of a delivery in self"
            )

    async def _keys(self, target: ScriptedTarget, delivery: Delivery) -> set[str | None]:
        """Return the keys that a new subscriber sends with `delivery`."""
        before = len(target.requests)
        async with self.trial(target.url) as trial:
            await trial.outcome(delivery)
        return {request.headers.get(self.key_header or "") for request in target.requests[before:]}


class HttpSubscriberContract(AnswerChecks, ConnectionChecks, KeyChecks):
    """Checks of a plugin with a scripted target, which runs on this machine and gives all kinds of answers.

    Set `plugin` and implement `settings`; everything else has defaults. If a status
    has another meaning at your target, set `outcomes`.
    """
