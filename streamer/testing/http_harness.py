"""Harness for checks over HTTP: a plugin and a scripted target."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from types import MappingProxyType

from streamer.clock import Clock, SystemClock
from streamer.events import Disable, Hold, Outcome, Reject, Retry, Skip
from streamer.testing.contract import SubscriberContract
from streamer.testing.scripted_target import Answering, Reply, ScriptedTarget
from streamer.testing.trial import ContractBrokenError, Kinds, Trial


class HttpHarness(SubscriberContract):
    """Base of the checks for plugins that use HTTP."""

    nowhere = "http://localhost:1"

    accepted: Answering = Reply()
    """Answer with which the target accepts an event."""

    aside: Mapping[str, Answering] = MappingProxyType({})
    """Fixed answers by path, such as for a token endpoint."""

    key_header: str | None = "Idempotency-Key"
    """Header with a delivery's key, or `None` for a target without idempotency keys."""

    outcomes: Mapping[int, Kinds] = MappingProxyType(
        {
            **dict.fromkeys((301, 302, 307, 308), Reject | Hold),
            **dict.fromkeys((400, 404, 405, 413, 422), Reject | Skip | Hold),
            **dict.fromkeys((401, 403), Hold),
            **dict.fromkeys((408, 425, 429, 500, 502, 503, 504), Retry | Hold),
            410: Disable | Hold,
        }
    )
    """Allowed outcomes of each status."""

    @asynccontextmanager
    async def target(self) -> AsyncIterator[str]:
        """Run a target that accepts every event."""
        async with self.scripted() as target:
            yield target.url

    def scripted(self, usual: Answering | None = None) -> ScriptedTarget:
        """Return a target that answers with `usual`; by default, the target accepts every event."""
        return ScriptedTarget(usual or self.accepted, aside=self.aside)

    @asynccontextmanager
    async def connected(
        self, usual: Answering | None = None, clock: Clock | None = None
    ) -> AsyncIterator[tuple[ScriptedTarget, Trial]]:
        """Open a target that answers with `usual`, and a subscriber that delivers to this target."""
        async with self.scripted(usual) as target, self.trial(target.url, clock) as trial:
            yield target, trial

    async def outcomes_for(self, replies: Mapping[str, Answering]) -> Mapping[str, Outcome]:
        """Return the outcome of a delivery for each of `replies`, by the reply's name."""
        outcomes: dict[str, Outcome] = {}
        async with self.connected() as (target, trial):
            for number, (what, reply) in enumerate(replies.items()):
                target.usual = reply
                try:
                    outcomes[what] = await trial.outcome(self.delivery(number))
                except ContractBrokenError as error:
                    error.add_note(f"The target {what}.")
                    raise
        return outcomes

    async def request_arrived(self, target: ScriptedTarget) -> None:
        """Wait until `target` has received a request. Raises `ContractBrokenError`."""
        try:
            async with SystemClock().timeout(self.attempt_limit_s):
                await target.received(1)
        except TimeoutError:
            raise ContractBrokenError(
                "no request arrives at the target: send requests to the address that the settings contain"
            ) from None
