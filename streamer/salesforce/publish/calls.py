"""Calls of the Pub/Sub API for publishing, the limits of a request, and failures of publishing."""

import re
from dataclasses import dataclass
from typing import TypeVar

from google.protobuf.message import Message

from streamer.errors import (
    CredentialsRefused,
    PublishingRefused,
    RetryLater,
    SalesforceUnavailable,
    StreamerError,
)
from streamer.eventbus.calls import Call
from streamer.ports import Unpublished
from streamer.salesforce.auth.tokens import Tokens
from streamer.salesforce.pubsub.connection import PubSubConnection
from streamer.salesforce.pubsub.errors import CallEnded, unserved
from streamer.salesforce.sessions import Reaction

# Status codes of events that can be accepted later (Platform Events guide, publishing).
_TRANSIENT = re.compile(
    r"LIMIT_EXCEEDED|PLATFORM_EVENT_PUBLISHING_UNAVAILABLE|PLATFORM_EVENT_ENCRYPTION_ERROR"
)
_LONGEST = 500
_LONGEST_CODE = 60
_Request = TypeVar("_Request", bound=Message)
_Response = TypeVar("_Response", bound=Message)

MOST_BYTES = 2_800_000
"""Largest size of a request in bytes: Salesforce advises 3 MB, and ends a call whose request exceeds 4 MB."""

MOST_EVENTS = 200
"""Largest number of events of a request, as Salesforce advises."""


def call_failure(topic: str, ended: CallEnded) -> StreamerError:
    """Return the error for an ended call about `topic`: a `RetryLater` or a `Stop`."""
    said = f"{topic} can't be published ({ended.detail})"
    match ended.reaction:
        case Reaction.GIVE_UP:
            return unserved(ended)
        case Reaction.RENEW_TOKEN:
            return CredentialsRefused(
                f"{said}, although the access token was new: check the access of the user and of the app"
            )
        case Reaction.REFUSE_CHANNEL | Reaction.RETRY_CHANNEL:
            return refused_topic(topic, ended.detail)
        case Reaction.LEAVE_ALONE | Reaction.WAIT_FOR_ALLOWANCE:
            return RetryLater(said)
        case _:
            return SalesforceUnavailable(said)


def refused_topic(topic: str, detail: str) -> PublishingRefused:
    """Return the error for a topic to which we can't publish."""
    return PublishingRefused(
        f"Salesforce does not let Streamer publish {topic} ({detail[:_LONGEST]}): check that the org "
        "has this platform event, and that the user can create such events"
    )


def refused_event(code: str, message: str) -> Unpublished:
    """Return the result for an event that Salesforce refused with `code` and `message`."""
    known = _TRANSIENT.search(f"{code} {message}")
    word = re.sub(r"\W+", "_", known[0] if known else code).strip("_").lower()[:_LONGEST_CODE]
    said = " ".join(message.split())[:_LONGEST] or "no reason given"
    return Unpublished(
        code=word or "refused", reason=f"Salesforce refused the event: {said}", is_transient=known is not None
    )


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
"""Largest number of bytes of an event; Salesforce refuses more than 1 MB (Pub/Sub API guide, allocations)."""


def too_large(size: int) -> Unpublished | None:
    """Return the result for an event of `size` bytes, or `None` if Salesforce accepts that size."""
    if size <= LARGEST_EVENT:
        return None
    reason = f"the event has {size:,} bytes, but Salesforce accepts at most 1 MB: send less data in the event"
    return Unpublished(code="too_large", reason=reason, sent=False)
