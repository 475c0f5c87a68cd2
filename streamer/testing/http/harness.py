"""A plugin that speaks HTTP, facing a scripted target."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from types import MappingProxyType

from streamer.clock import Clock, SystemClock
from streamer.events import Disable, Hold, Outcome, Reject, Retry, Skip
from streamer.testing.check import ContractBrokenError
from streamer.testing.contract import SubscriberContract
from streamer.testing.http.replies import Answering, Reply
from streamer.testing.http.target import ScriptedTarget
from streamer.testing.trial import Kinds, Trial


class HttpHarness(SubscriberContract):
    """What the checks of plugins that speak HTTP begin from."""

    nowhere = "http://localhost:1"

    accepted: Answering = Reply()
    """How the target says that it took an event."""

    aside: Mapping[str, Answering] = MappingProxyType({})
    """Answers that are always the same, by path, such as a token endpoint's."""

    key_header: str | None = "Idempotency-Key"
    """The header that carries a delivery's key; `None` for a target that knows no such thing."""

    outcomes: Mapping[int, Kinds] = MappingProxyType(
        {
            **dict.fromkeys((301, 302, 307, 308), Reject | Hold),
            **dict.fromkeys((400, 404, 405, 413, 422), Reject | Skip | Hold),
            **dict.fromkeys((401, 403), Hold),
            **dict.fromkeys((408, 425, 429, 500, 502, 503, 504), Retry | Hold),
            410: Disable | Hold,
        }
    )
    """What may come of each status."""

    @asynccontextmanager
    async def target(self) -> AsyncIterator[str]:
        """Run a target that accepts everything."""
        async with self.scripted() as target:
            yield target.url

    def scripted(self, usual: Answering | None = None) -> ScriptedTarget:
        """Return a target that answers with `usual`, or accepts everything."""
        return ScriptedTarget(usual or self.accepted, aside=self.aside)

    @asynccontextmanager
    async def connected(
        self, usual: Answering | None = None, clock: Clock | None = None
    ) -> AsyncIterator[tuple[ScriptedTarget, Trial]]:
        """Open a target that answers with `usual`, and a subscriber that delivers to it."""
        async with self.scripted(usual) as target, self.trial(target.url, clock) as trial:
            yield target, trial

    async def outcomes_for(self, replies: Mapping[str, Answering]) -> Mapping[str, Outcome]:
        """Return what came of a delivery to a target that does each of `replies`, by what that is called."""
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
        """Return once `target` has got a request."""
        try:
            async with SystemClock().timeout(self.attempt_limit_s):
                await target.received(1)
        except TimeoutError:
            raise ContractBrokenError("nothing arrives at the target: deliver to the address given") from None
