"""Outcomes of publishing, by the rules for every target."""

from collections.abc import Iterator

from streamer.errors import CredentialsRefused, RetryLater, SalesforceUnavailable, StreamerError
from streamer.events import Delivered, FailureClass, Hold, JsonObject, Outcome, Reject, Retry
from streamer.ports import Published, PublishResult, Unanswered, Unpublished
from streamer.replay_ids import replay_id_to_text

_RECHECK_S = 60.0
_BUSY_S = 10.0
_LONGEST_HOLD_S = 3600.0
_LIMIT = "limit_exceeded"


def outcome_of(result: PublishResult, event: str, *, may_retry: bool) -> Outcome:
    """Return the outcome of publishing an `event`.

    A refusal of the event without a known reason is a retry while it
    `may_retry`, since it can be Salesforce's, and is rejected after that.
    """
    match result:
        case Published():
            return Delivered(answer=_receipt(result, event))
        case Unpublished():
            return _refused(result, event, may_retry=may_retry)
        case Unanswered():
            return _unanswered(result.error)


def _receipt(result: Published, event: str) -> JsonObject:
    receipt: JsonObject = {"event": event, "id": result.event_uuid}
    if result.replay_id:
        receipt["replay_id"] = replay_id_to_text(result.replay_id)
    return receipt


def _refused(result: Unpublished, event: str, *, may_retry: bool) -> Outcome:
    reason = f"{event} is not published: {result.reason}"
    if result.is_transient and result.code == _LIMIT:
        return Hold(reason=reason, after_s=_RECHECK_S, failure=FailureClass.RATE_LIMITED)
    if result.is_transient or (result.sent and may_retry):
        return Retry(reason=reason, failure=FailureClass.REJECTED)
    return Reject(
        reason=reason,
        hint="compare body with the fields of the platform event, correct one of them, then redrive",
        sent=result.sent,
    )


def _unanswered(error: StreamerError) -> Outcome:
    match error:
        case SalesforceUnavailable() if not error.after_s:
            return Retry(reason=str(error), failure=_class_of(error))
        case RetryLater():
            is_limit = not isinstance(error, SalesforceUnavailable)
            return Hold(
                reason=str(error),
                after_s=min(error.after_s or _BUSY_S, _LONGEST_HOLD_S),
                failure=FailureClass.RATE_LIMITED if is_limit else FailureClass.HTTP_5XX,
            )
        case CredentialsRefused():
            failure = FailureClass.REFUSED_CREDENTIALS
        case _:
            failure = FailureClass.REJECTED
    return Hold(reason=str(error), after_s=_RECHECK_S, alert=True, failure=failure)


def _class_of(error: SalesforceUnavailable) -> FailureClass:
    causes = list(_causes(error))
    if any(isinstance(cause, TimeoutError) for cause in causes):
        return FailureClass.TIMEOUT
    if any(isinstance(cause, ValueError) for cause in causes):
        return FailureClass.UNEXPECTED_ANSWER
    return FailureClass.CONNECTION if causes else FailureClass.HTTP_5XX


def _causes(error: BaseException) -> Iterator[BaseException]:
    while error.__cause__ is not None:
        error = error.__cause__
        yield error
