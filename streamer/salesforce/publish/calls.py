"""Calls of the Pub/Sub API for publishing, and the limits of a request in events and bytes."""

from dataclasses import dataclass
from typing import TypeVar

from google.protobuf.message import Message

from streamer.eventbus.calls import Call
from streamer.ports import Unpublished
from streamer.salesforce.auth.tokens import Tokens
from streamer.salesforce.publish.failures import call_failure
from streamer.salesforce.pubsub.connection import PubSubConnection
from streamer.salesforce.pubsub.errors import CallEnded
from streamer.salesforce.sessions import Reaction

_Request = TypeVar("_Request", bound=Message)
_Response = TypeVar("_Response", bound=Message)

MOST_BYTES = 2_800_000
"""Most bytes of a request: Salesforce advises 3 MB, and ends a call whose request exceeds 4 MB."""

MOST_EVENTS = 200
"""Most events of a request, as Salesforce advises."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Calls:
    """Makes the calls for publishing on one connection."""

    connection: PubSubConnection
    tokens: Tokens

    async def user(self) -> str:
        """Return the id of the user that publishes; empty if the login named no user."""
        return (await self.tokens.token()).user

    async def ask(self, call: Call[_Request, _Response], request: _Request, *, topic: str) -> _Response:
        """Return the answer to a call about `topic`.

        Raises a `RetryLater` or a `Stop`. After a `RetryLater`, it is unknown whether
        Salesforce has acted on the request.
        """
        token = await self.tokens.token()
        try:
            try:
                answer = await self.connection.ask(call, request, token)
            except CallEnded as ended:
                if ended.reaction is not Reaction.RENEW_TOKEN:
                    raise
                token = await self.tokens.refreshed(token)
                answer = await self.connection.ask(call, request, token)
        except CallEnded as ended:
            raise call_failure(topic, ended) from ended
        self.connection.proved()
        return answer


LARGEST_EVENT = 1024 * 1024
"""Most bytes of an event; Salesforce refuses more than 1 MB (Pub/Sub API guide, allocations)."""


def too_large(size: int) -> Unpublished | None:
    """Return the result for an event of `size` bytes, or `None` if Salesforce accepts that size."""
    if size <= LARGEST_EVENT:
        return None
    reason = f"the event has {size:,} bytes, but Salesforce accepts at most 1 MB: send less data in the event"
    return Unpublished(code="too_large", reason=reason, sent=False)
