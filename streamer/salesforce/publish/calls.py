"""Calls of the Pub/Sub API with a token that is renewed once."""

from dataclasses import dataclass
from typing import TypeVar

from google.protobuf.message import Message

from streamer.eventbus.calls import Call
from streamer.salesforce.auth.tokens import Tokens
from streamer.salesforce.publish.failures import call_failure
from streamer.salesforce.pubsub.connection import PubSubConnection
from streamer.salesforce.pubsub.errors import CallEnded
from streamer.salesforce.recovery import Reaction

_Request = TypeVar("_Request", bound=Message)
_Response = TypeVar("_Response", bound=Message)


@dataclass(frozen=True, slots=True, kw_only=True)
class Calls:
    """Makes the calls that publish, on one connection."""

    connection: PubSubConnection
    tokens: Tokens

    async def user(self) -> str:
        """Return the id of the user that publishes; empty where the login did not tell it."""
        return (await self.tokens.token()).user

    async def ask(self, call: Call[_Request, _Response], request: _Request, *, topic: str) -> _Response:
        """Return the answer to a call about `topic`.

        Raises a `RetryLater` or a `Stop`. After a `RetryLater` it is uncertain
        whether Salesforce has acted on the request.
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
