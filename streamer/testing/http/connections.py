"""Checks of a plugin's connections."""

import asyncio

from streamer.clock import SystemClock, TurnedClock
from streamer.events import Delivered, Hold, Retry
from streamer.testing.http.harness import HttpHarness
from streamer.testing.http.target import CUT_OFF, HANG_UP, Raw, Reply, ScriptedTarget, Silence
from streamer.testing.leaks import no_leaks
from streamer.testing.trial import ContractBrokenError, check, expect

_ROUND_S = 0.01


class ConnectionChecks(HttpHarness):
    """A connection can be lost, stuck or redirected, and is finally closed."""

    @check
    async def test_redirect_is_not_followed(self) -> None:
        """Events and credentials are not sent to the address in a redirect."""
        for status in (301, 302, 307, 308):
            async with self.connected() as (target, trial):
                target.then(Reply(status=status, headers={"Location": f"{target.url}/elsewhere"}))
                outcome = await trial.outcome(self.delivery(1))
            if any(request.path == "/elsewhere" for request in target.requests):
                raise ContractBrokenError(
                    f"the plugin followed a redirect (status {status}): set allow_redirects=False"
                )
            expect(self.outcomes[status], outcome, when=f"the target answered {status}")

    @check
    async def test_lost_connection_is_tried_again(self) -> None:
        """The target has possibly acted, but recognises the key at the next attempt."""
        lost = {"hung up": HANG_UP, "spoke another protocol": Raw(content=b"220 mail.example.com ESMTP\r\n")}
        for what, outcome in (await self.outcomes_for(lost)).items():
            expect(Retry | Hold, outcome, when=f"the target {what}")
        # A plugin that needs only the status already has it.
        [cut_off] = (await self.outcomes_for({"hung up in mid-answer": CUT_OFF})).values()
        expect(Retry | Hold | Delivered, cut_off, when="the target hung up in mid-answer")

    @check
    async def test_slow_target_is_given_up(self) -> None:
        """A target that never answers can't block the lane."""
        clock = TurnedClock()
        async with self.connected(Silence(), clock) as (target, trial):
            attempt = asyncio.create_task(trial.outcome(self.delivery(1)))
            await self.request_arrived(target)
            while not attempt.done():
                await clock.turn(10.0)
                await SystemClock().sleep(_ROUND_S)
            expect(Retry | Hold, await attempt, when="the target never answered")

    @check
    async def test_cancelled_attempt_ends(self) -> None:
        """Dispatch cancels an attempt that takes too long, and continues with the next attempt."""
        async with self.connected() as (target, trial):
            target.then(Silence())
            attempt = asyncio.create_task(trial.subscriber.deliver(self.delivery(1)))
            await self.request_arrived(target)
            attempt.cancel()
            await asyncio.wait([attempt], timeout=self.attempt_limit_s)
            if not attempt.cancelled():
                raise ContractBrokenError(
                    "a cancelled call of deliver did not end: do not catch CancelledError"
                )
            await trial.expect(Delivered, self.delivery(2), when="the previous attempt was cancelled")

    @check
    async def test_leaves_nothing_open(self) -> None:
        """A daemon opens and closes subscribers for months."""
        async with no_leaks(), self.scripted() as target:
            await self._come_and_go(target.url)
            await _disconnected(target)


async def _disconnected(target: ScriptedTarget) -> None:
    for _ in range(100):
        if not target.connections:
            return
        await SystemClock().sleep(_ROUND_S)
    raise ContractBrokenError(
        f"{target.connections} connections are still open after closing the plugin: close the session "
        "in __aexit__"
    )
