"""Outcomes of Slack's error codes."""

from streamer.events import FailureClass, Hold, Outcome, Reject, Retry
from subscribers.holds import RECHECK_S
from subscribers.http import Answer

_RATE_LIMIT_S = 30.0

_BUSY = frozenset({"ratelimited", "rate_limited", "message_limit_exceeded"})

_PASSING = frozenset(
    {
        "fatal_error",
        "internal_error",
        "request_timeout",
        "rollup_error",
        "service_unavailable",
        "team_added_to_org",
    }
)

_WRONG_MESSAGE = {
    "cannot_reply_to_message": "set thread_ts to a message that can have replies",
    "invalid_attachments": "correct the format of attachments in body",
    "invalid_blocks": "correct the format of blocks in body, for example with Slack's Block Kit Builder",
    "invalid_blocks_format": "correct blocks in body: blocks must be a list of objects",
    "invalid_arguments": "remove members from body that chat.postMessage does not know",
    "invalid_metadata_format": "correct the format of metadata in body",
    "invalid_payload": "remove members from body that the webhook does not accept",
    "markdown_text_conflict": "set either markdown_text in body, or text and blocks",
    "msg_blocks_too_long": "shorten blocks in body",
    "msg_too_long": "shorten text in body",
    "no_text": "the message is empty: set text or blocks in body",
    "too_many_attachments": "send at most 100 attachments in a message",
}

_CHANNEL = "set channel to the id of an existing channel"
_ARCHIVED = "unarchive the channel, or set another channel"
_ALLOW = "allow this app to post in the channel, or ask Slack's administrators to allow it"
_WEBHOOK = "create a new webhook and set webhook_url to its address"
_TOKEN = "set token to a valid token with the scope chat:write"  # noqa: S105 - advice, not a token
_WORKSPACE = "this app can't reach the workspace: ask Slack's administrators"

_WRONG_CHANNEL = {
    "channel_not_found": f"{_CHANNEL}, and invite the app if the channel is private",
    "channel_is_archived": _ARCHIVED,
    "is_archived": _ARCHIVED,
    "not_in_channel": "invite the app to the channel, or give it the scope chat:write.public",
    "user_not_found": _CHANNEL,
}

_WRONG_ACCESS = {
    "access_denied": _ALLOW,
    "account_inactive": _TOKEN,
    "action_prohibited": _ALLOW,
    "ekm_access_denied": _WORKSPACE,
    "enterprise_is_restricted": _WORKSPACE,
    "invalid_auth": _TOKEN,
    "invalid_token": _WEBHOOK,
    "missing_scope": _TOKEN,
    "no_active_hooks": _WEBHOOK,
    "no_permission": _ALLOW,
    "no_service": _WEBHOOK,
    "no_service_id": _WEBHOOK,
    "no_team": _WEBHOOK,
    "not_allowed_token_type": _TOKEN,
    "not_authed": _TOKEN,
    "org_login_required": _WORKSPACE,
    "posting_to_general_channel_denied": _ALLOW,
    "restricted_action": _ALLOW,
    "restricted_action_read_only_channel": _ALLOW,
    "team_access_not_granted": _WORKSPACE,
    "team_disabled": _WORKSPACE,
    "team_not_found": _WORKSPACE,
    "token_expired": _TOKEN,
    "token_revoked": _TOKEN,
}


def explained(code: str, answer: Answer, *, own_channel: bool) -> Outcome | None:
    """Return the outcome of a request that Slack refused with `code`; `None` for an unknown code.

    A wrong channel or token in the settings holds the target, because every event
    would fail in the same way. With `own_channel`, the event's mapping has chosen
    the channel, so only this event is rejected.
    """
    reason = f"Slack answered {code}"
    if code in _BUSY:
        failure = FailureClass.RATE_LIMITED
        return Hold(reason=reason, after_s=_RATE_LIMIT_S, answer=answer.excerpt, failure=failure)
    if code in _PASSING:
        return Retry(reason=reason, answer=answer.excerpt)
    if code in _WRONG_MESSAGE:
        return Reject(reason=reason, hint=_WRONG_MESSAGE[code], answer=answer.excerpt)
    if code in _WRONG_CHANNEL and own_channel:
        return Reject(reason=reason, hint=_WRONG_CHANNEL[code], answer=answer.excerpt)
    advice = (_WRONG_CHANNEL | _WRONG_ACCESS).get(code)
    if advice is None:
        return None
    failure = FailureClass.REFUSED_CREDENTIALS if code in _WRONG_ACCESS else FailureClass.REJECTED
    return Hold(
        reason=f"{reason}: {advice}",
        after_s=RECHECK_S,
        answer=answer.excerpt,
        alert=True,
        failure=failure,
    )
