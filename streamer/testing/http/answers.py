"""Checks of the outcome for each answer of a target."""

from collections.abc import Iterable
from email.utils import formatdate

from streamer.clock import TurnedClock
from streamer.events import Hold, Retry
from streamer.testing.http.harness import HttpHarness
from streamer.testing.http.target import Answering, Echo, Reply
from streamer.testing.trial import ContractBrokenError, check, expect

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
