"""Outcomes of Salesforce's answers, by the rules for all targets."""

import re
from collections.abc import Iterator

from streamer.errors import CredentialsRefused, RetryLater, SalesforceUnavailable, StreamerError
from streamer.events import (
    Delivered,
    FailureClass,
    Hold,
    JsonObject,
    Outcome,
    Reject,
    Retry,
    replay_id_to_text,
)
from streamer.ports import (
    Answered,
    CallResult,
    Published,
    PublishResult,
    Unanswered,
    Unpublished,
    WriteKind,
    WriteOperation,
    WriteRefused,
    WriteResult,
    Written,
)
from subscribers.holds import BUSY_S, RECHECK_S

_LONGEST_HOLD_S = 3600.0
_LIMIT = "limit_exceeded"
_FIRST_REFUSAL_S = 30.0
_LONGEST_REFUSAL_S = 600.0

# Error codes of Salesforce (SOAP API guide, ExceptionCode and StatusCode). The message of a
# failing trigger or flow repeats the code of the cause.
_PASSING = re.compile(
    r"UNABLE_TO_LOCK_ROW|QUERY_TIMEOUT|REQUEST_RUNNING_TOO_LONG|ALL_OR_NONE_OPERATION_ROLLED_BACK"
)
_LIMITS = frozenset({"REQUEST_LIMIT_EXCEEDED", "EXCEEDED_RATE_LIMIT"})
_AWAY = frozenset({"SERVER_UNAVAILABLE", "API_CURRENTLY_DISABLED"})
_OF_THE_ORG = frozenset(
    {"API_DISABLED_FOR_ORG", "FUNCTIONALITY_NOT_ENABLED", "INVALID_TYPE", "STORAGE_LIMIT_EXCEEDED"}
)
# With these codes, a retry can succeed: code of the org failed, or Salesforce gives no reason.
# Client and Server are the codes of any SOAP fault.
_DOUBTFUL = frozenset(
    {
        "",
        "APEX_ERROR",
        "CANNOT_EXECUTE_FLOW_TRIGGER",
        "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY",
        "Client",
        "Server",
        "UNKNOWN_EXCEPTION",
    }
)
_APEX_LIMIT = "LimitException"
_IS_DELETED = "ENTITY_IS_DELETED"


def refusal_delay_s(attempt: int, tries: int) -> float | None:
    """Return the seconds until the next attempt after a refusal without a known reason.

    The result is `None` after the last attempt. The attempts are spread over minutes,
    because the org's code often fails during the minutes in which a new version is
    deployed.
    """
    if attempt >= tries:
        return None
    return min(_FIRST_REFUSAL_S * 2.0 ** (attempt - 1), _LONGEST_REFUSAL_S)


def outcome_of_publishing(result: PublishResult, event: str, *, again_s: float | None) -> Outcome:
    """Return the outcome of publishing an `event`.

    A refusal without a known reason can be temporary, so the outcome is a retry after
    `again_s` seconds. If `again_s` is `None`, the event is rejected.
    """
    match result:
        case Published():
            return Delivered(answer=_receipt(result, event))
        case Unpublished():
            return _unpublished(result, event, again_s=again_s)
        case Unanswered():
            return _unanswered(result.error)


def outcome_of_writing(
    result: WriteResult, operation: WriteOperation, *, record_id: str, again_s: float | None
) -> Outcome:
    """Return the outcome of writing the record `record_id`, which is empty if Salesforce chooses the id.

    `again_s` has the same meaning as in `outcome_of_publishing`. The deletion of an
    already deleted record counts as delivered.
    """
    named = f"{operation.kind} {operation.sobject}"
    match result:
        case Written():
            answer: JsonObject = {"sobject": operation.sobject, "id": result.record_id}
            if operation.kind is WriteKind.CREATE or result.created is not None:
                answer["created"] = result.created is not False
            return Delivered(answer=answer)
        case WriteRefused(code=code) if operation.kind is WriteKind.DELETE and code == _IS_DELETED:
            return Delivered(answer={"sobject": operation.sobject, "id": record_id, "was_deleted": True})
        case WriteRefused(code="DUPLICATE_VALUE") if (
            operation.kind is WriteKind.UPSERT and again_s is not None
        ):
            # Another client has created the record at the same moment; the next upsert finds it.
            return Retry(reason=f"{named}: {result.message}", failure=FailureClass.REJECTED)
        case WriteRefused():
            return _refused(result, named, again_s=again_s)
        case Unanswered():
            return _unanswered(result.error)


def outcome_of_call(result: CallResult, named: str, *, again_s: float | None) -> Outcome:
    """Return the outcome of calling an Apex method.

    An answer that is an object becomes the receipt. Any other answer becomes the
    receipt's member `value`.
    """
    match result:
        case Answered(value=dict() as value):
            return Delivered(answer=value)
        case Answered():
            return Delivered(answer={} if result.value is None else {"value": result.value})
        case WriteRefused():
            return _refused(result, named, again_s=again_s)
        case Unanswered():
            return _unanswered(result.error)


def _refused(refused: WriteRefused, named: str, *, again_s: float | None) -> Outcome:
    reason = f"Salesforce refused {named}: {_said(refused)}"
    if refused.code in _LIMITS | _AWAY:
        is_limit = refused.code in _LIMITS
        return Hold(
            reason=reason,
            after_s=RECHECK_S if is_limit else BUSY_S,
            answer=refused.answer,
            failure=FailureClass.RATE_LIMITED if is_limit else FailureClass.HTTP_5XX,
        )
    if _PASSING.search(f"{refused.code} {refused.message}"):
        return Retry(reason=reason, answer=refused.answer)
    if refused.is_general or refused.code in _OF_THE_ORG:
        return Hold(
            reason=(
                f"{reason}: check the name of the object or method in the settings, and the user's "
                "permissions"
            ),
            after_s=RECHECK_S,
            answer=refused.answer,
            alert=True,
            failure=FailureClass.REJECTED,
        )
    # A SOAP fault can have a subcode after a dot, as in Server.userException.
    is_doubtful = refused.code.partition(".")[0] in _DOUBTFUL or _APEX_LIMIT in refused.message
    if refused.sent and again_s is not None and is_doubtful:
        return Retry(reason=reason, after_s=again_s, answer=refused.answer, failure=FailureClass.REJECTED)
    return Reject(
        reason=reason,
        hint=(
            "compare body with what Salesforce expects, and correct body or the org's settings. Then "
            "redrive the dead letter"
        ),
        answer=refused.answer,
        sent=refused.sent,
    )


def _said(refused: WriteRefused) -> str:
    if not refused.code or refused.code in refused.message:
        return refused.message or "without a reason"
    return f"{refused.code}: {refused.message}"


def _receipt(result: Published, event: str) -> JsonObject:
    receipt: JsonObject = {"event": event, "id": result.event_uuid}
    if result.replay_id:
        receipt["replay_id"] = replay_id_to_text(result.replay_id)
    return receipt


def _unpublished(result: Unpublished, event: str, *, again_s: float | None) -> Outcome:
    reason = f"the platform event {event} was not published: {result.reason}"
    if result.is_transient and result.code == _LIMIT:
        return Hold(reason=reason, after_s=RECHECK_S, failure=FailureClass.RATE_LIMITED)
    if result.is_transient or (result.sent and again_s is not None):
        after_s = None if result.is_transient else again_s
        return Retry(reason=reason, after_s=after_s, failure=FailureClass.REJECTED)
    return Reject(
        reason=reason,
        hint=(
            "compare body with the fields of the platform event, and correct body or the event's "
            "fields. Then redrive the dead letter"
        ),
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
                after_s=min(error.after_s or BUSY_S, _LONGEST_HOLD_S),
                failure=FailureClass.RATE_LIMITED if is_limit else FailureClass.HTTP_5XX,
            )
        case CredentialsRefused():
            failure = FailureClass.REFUSED_CREDENTIALS
        case _:
            failure = FailureClass.REJECTED
    return Hold(reason=str(error), after_s=RECHECK_S, alert=True, failure=failure)


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
