"""Writer of records and calls to one org."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from streamer.events import JsonObject
from streamer.ports import ApexRestCall, ApexSoapCall, CallResult, WriteOperation, WriteResult
from streamer.salesforce.auth.tokens import Tokens
from streamer.salesforce.write.apex import ApexCaller
from streamer.salesforce.write.collections import Collections


def _nobody() -> None:
    pass


@dataclass(frozen=True, slots=True, kw_only=True)
class RestWriter:
    """Writes with the tokens of an org: see `streamer.ports.OrgWriter`."""

    tokens: Tokens
    collections: Collections
    apex: ApexCaller

    async def user(self) -> str:
        """Return the id of the user that writes the records: see `streamer.ports.OrgWriter`."""
        return (await self.tokens.token()).user

    async def write(
        self, operation: WriteOperation, records: Sequence[JsonObject], /
    ) -> Sequence[WriteResult]:
        """Write records: see `streamer.ports.OrgWriter`."""
        return await self.collections.write(operation, records)

    async def call(
        self, call: ApexRestCall | ApexSoapCall, /, *, on_sent: Callable[[], None] = _nobody
    ) -> CallResult:
        """Call a method: see `streamer.ports.OrgWriter`."""
        return await self.apex.call(call, on_sent)
