"""Contract of every plugin whose target speaks HTTP: checks of answers, connections and keys."""

import asyncio
from collections.abc import Iterable
from dataclasses import replace
from email.utils import formatdate

from streamer.clock import SystemClock, TurnedClock
from streamer.events import Delivered, Delivery, Hold, Retry
from streamer.testing.http_harness import HttpHarness
from streamer.testing.scripted_target import (
    CUT_OFF,
    HANG_UP,
    Answering,
    Echo,
    Raw,
    Reply,
    ScriptedTarget,
    Silence,
)
from streamer.testing.trial import ContractBrokenError, check, expect, no_leaks

_NONSENSE = (
    b"",
    b"<!DOCTYPE html><html><body>Please sign in</body></html>",
    b'{"ok": tru',
    b"null",
    b"[1, 2]",
    b'"ok"',
    b"\xff\xfe\x00",
    b"[" * 100_000,
    b'{"error": {"code": ["a"]}, "code": 7, "type": null}',
)
_MISNAMED = {
    "named a charset that does not exist": Reply(
        headers={"Content-Type": "text/html; charset=nonsense"}, body=b"\xff"
    ),
    "declared gzip for bytes that are not gzip": Reply(
        headers={"Content-Encoding": "gzip"}, body=b"not gzip"
    ),
}
_PAUSE_S = 7
_SENSELESS_PAUSES = (
    "",
    "soon",
    "-5",
    "1e9",
    "99999999999",
    "9" * 4_000,
    "Tue, 99 Foo 2025 00:00:00 GMT",
    "Fri, 31 Dec 9999 23:59:59 GMT",
    "Thu, 01 Jan 1970 00:00:00 GMT",
)
_ROUND_S = 0.01
_HALF = 10


class AnswerChecks(HttpHarness):
    """Every answer of a target has an outcome."""

    @check
    async def test_wrong_request_is_not_repeated(self) -> None:
        """A request that the target calls wrong is not retried, and the event becomes a dead letter."""
        await self._answers_with(400, 404, 405, 413, 422)

    @check
    async def test_refused_credentials_hold_the_target(self) -> None:
        """A rotated key must not turn a day's events into dead letters."""
        await self._answers_with(401, 403)

    @check
    async def test_failing_target_is_tried_again(self) -> None:
        """A server error says nothing about the event, so the event is retried."""
        await self._answers_with(408, 425, 429, 500, 502, 503, 504)

    @check
    async def test_target_that_is_gone_is_left_alone(self) -> None:
        """410 means that the target wants no more events, now or later."""
        await self._answers_with(410)

    @check
    async def test_pause_that_the_target_asks_for_is_kept(self) -> None:
        """`Retry-After` holds the whole target, exact to the second, and does not count as an attempt."""
        date = formatdate(TurnedClock().now() + _PAUSE_S, usegmt=True)
        pauses = (f"{_PAUSE_S}", date)
        for what, outcome in (await self.outcomes_for(_pausing(429, pauses) | _pausing(503, pauses))).items():
            expect(Hold, outcome, when=f"the target {what}")
            if isinstance(outcome, Hold) and abs(outcome.after_s - _PAUSE_S) > 1:
                raise ContractBrokenError(
                    f"the target {what}, but the outcome holds the target for {outcome.after_s:g} "
                    "s: read Retry-After, and compare a date with context.clock"
                )

    @check
    async def test_senseless_pause_does_no_harm(self) -> None:
        """A target can neither stop deliveries for years nor make retries loop without a pause."""
        for what, outcome in (await self.outcomes_for(_pausing(503, _SENSELESS_PAUSES))).items():
            expect(Retry | Hold, outcome, when=f"the target {what}")

    @check
    async def test_nonsense_has_an_outcome(self) -> None:
        """A login page, half an answer or a list must not raise an exception."""
        await self.outcomes_for(
            {
                f"answered {status} with {body[:40]!r}": Reply(status=status, body=body)
                for status in (200, 400, 500)
                for body in _NONSENSE
            }
        )
        await self.outcomes_for(_MISNAMED)

    @check
    async def test_large_answer_is_not_kept(self) -> None:
        """A receipt or a dead letter holds only an excerpt of an answer."""
        large = b'{"ok": true, "n": "' + b"9" * 4_000_000 + b'"}'
        await self.outcomes_for(
            {
                f"answered {status} with a very long body": Reply(status=status, body=large)
                for status in (200, 500)
            }
        )

    @check
    async def test_echoed_secrets_are_taken_out(self) -> None:
        """Error pages repeat requests, and many people read outcomes."""
        for status in (200, 400, 401, 500):
            async with self.connected(Echo(status=status)) as (target, trial):
                outcome = await trial.outcome(self.delivery(1))
            proofs = [request.headers.get("Authorization", "").split(" ") for request in target.requests]
            if any(proof[-1] and proof[-1] in repr(outcome) for proof in proofs):
                raise ContractBrokenError(
                    "an outcome contains the Authorization header that the plugin sent: remove "
                    "the header's value from the answers that outcomes quote"
                )

    async def _answers_with(self, *statuses: int) -> None:
        said = b'{"error": "scripted"}'
        tried = await self.outcomes_for({str(status): Reply(status=status, body=said) for status in statuses})
        for status in statuses:
            expect(self.outcomes[status], tried[str(status)], when=f"the target answered {status}")


def _pausing(status: int, pauses: Iterable[str]) -> dict[str, Answering]:
    return {
        f"answered {status} with Retry-After: {pause[:40]}": Reply(
            status=status, headers={"Retry-After": pause}
        )
        for pause in pauses
    }


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
