"""Failures of publishing: the errors of calls, and the refusals of single events."""

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
from streamer.salesforce.reactions import Reaction

# Status codes of events that can succeed later (Platform Events guide, publishing).
_TRANSIENT = re.compile(
    r"LIMIT_EXCEEDED|PLATFORM_EVENT_PUBLISHING_UNAVAILABLE|PLATFORM_EVENT_ENCRYPTION_ERROR"
)
_LONGEST = 500
_LONGEST_CODE = 60


def call_failure(topic: str, ended: CallEnded) -> StreamerError:
    """Return the error for a call about `topic` that has ended: a `RetryLater`, or a `Stop`."""
    said = f"{topic} can't be published ({ended.detail})"
    match ended.reaction:
        case Reaction.GIVE_UP:
            return unserved(ended)
        case Reaction.RENEW_TOKEN:
            return CredentialsRefused(
                f"{said}, with a token that was new: check the user's and the app's access"
            )
        case Reaction.REFUSE_CHANNEL | Reaction.RETRY_CHANNEL:
            return refused_topic(topic, ended.detail)
        case Reaction.LEAVE_ALONE | Reaction.WAIT_FOR_ALLOWANCE:
            return RetryLater(said)
        case _:
            return SalesforceUnavailable(said)


def refused_topic(topic: str, detail: str) -> PublishingRefused:
    """Return the error for a topic that takes nothing from us."""
    return PublishingRefused(
        f"Salesforce takes no {topic} from us ({detail[:_LONGEST]}): check that the org has this platform "
        "event, and that the user may create it"
    )


def refused_event(code: str, message: str) -> Unpublished:
    """Return the result of an event that Salesforce has refused with `code` and `message`."""
    known = _TRANSIENT.search(f"{code} {message}")
    word = re.sub(r"\W+", "_", known[0] if known else code).strip("_").lower()[:_LONGEST_CODE]
    said = " ".join(message.split())[:_LONGEST] or "no reason given"
    return Unpublished(
        code=word or "refused", reason=f"Salesforce refused it: {said}", is_transient=known is not None
    )
