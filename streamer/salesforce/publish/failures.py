"""Failures of publishing: errors of calls, and refusals of single events."""

import re

from streamer.errors import (
    CredentialsRefused,
    PublishingRefused,
    RetryLater,
    SalesforceUnavailable,
    StreamerError,
)
from streamer.ports import Unpublished
from streamer.salesforce.pubsub.errors import CallEnded, unserved
from streamer.salesforce.sessions import Reaction

# Status codes of events that can be accepted later (Platform Events guide, publishing).
_TRANSIENT = re.compile(
    r"LIMIT_EXCEEDED|PLATFORM_EVENT_PUBLISHING_UNAVAILABLE|PLATFORM_EVENT_ENCRYPTION_ERROR"
)
_LONGEST = 500
_LONGEST_CODE = 60


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
