"""Meanings of Salesforce's refusals."""

from typing import Any

import pytest

from streamer.salesforce.cometd.protocol import Advice, BayeuxError, causes, reaction
from streamer.salesforce.sessions import Reaction

HANDSHAKE, CONNECT, SUBSCRIBE = "/meta/handshake", "/meta/connect", "/meta/subscribe"
BUSY = "503::Server is too busy.  Please try your request again later."
INVALID_ID = "400::The replayId {1234} you provided was invalid.{gap}Please provide a valid ID, -2 to replay"


@pytest.mark.parametrize(
    ("channel", "error", "failure_reason", "expected"),
    [
        (CONNECT, "401::Authentication invalid", None, Reaction.RENEW_TOKEN),
        (HANDSHAKE, "403::Handshake denied", "401::Authentication invalid", Reaction.RENEW_TOKEN),
        (HANDSHAKE, "403::Handshake denied", "401::Request requires authentication", Reaction.RENEW_TOKEN),
        (CONNECT, "401::Authentication invalid", BUSY, Reaction.LEAVE_ALONE),
        (SUBSCRIBE, "403::Unknown client", BUSY, Reaction.LEAVE_ALONE),
        (HANDSHAKE, BUSY, None, Reaction.LEAVE_ALONE),
        (CONNECT, "403::Unknown client", None, Reaction.HANDSHAKE),
        (CONNECT, "402::Unknown client", None, Reaction.HANDSHAKE),
        (CONNECT, "402::session_unknown", None, Reaction.HANDSHAKE),
        (SUBSCRIBE, "403::Client has not completed handshake", None, Reaction.HANDSHAKE),
        (
            CONNECT,
            "400::Client 1a2b has established a session, but no BAYEUX_BROWSER cookie present",
            None,
            Reaction.HANDSHAKE,
        ),
        (
            CONNECT,
            "400::Authenticated user id does not match the session's user id",
            None,
            Reaction.HANDSHAKE,
        ),
        (
            HANDSHAKE,
            "403::Handshake denied",
            "403::To protect all customers from excessive use",
            Reaction.LEAVE_ALONE,
        ),
        (HANDSHAKE, "403::Organization concurrent user limit exceeded", None, Reaction.LEAVE_ALONE),
        (CONNECT, "403::Organization total events daily limit exceeded", None, Reaction.WAIT_FOR_ALLOWANCE),
        (SUBSCRIBE, "403::Organization total events daily limit exceeded", None, Reaction.WAIT_FOR_ALLOWANCE),
        (SUBSCRIBE, INVALID_ID.replace("{gap}", "  "), None, Reaction.REFUSE_REPLAY_ID),
        (SUBSCRIBE, INVALID_ID.replace("{gap}", " "), None, Reaction.REFUSE_REPLAY_ID),
        (
            SUBSCRIBE,
            "400::The channel you requested to subscribe to doesn't exist {/event/X__e}",
            None,
            Reaction.REFUSE_CHANNEL,
        ),
        (SUBSCRIBE, "403::User not enabled for streaming", None, Reaction.REFUSE_CHANNEL),
        (SUBSCRIBE, "404::Unknown channel", None, Reaction.REFUSE_CHANNEL),
        (SUBSCRIBE, "403:denied_by_security_policy:create_denied", None, Reaction.RETRY_CHANNEL),
        (SUBSCRIBE, "403::Something new", None, Reaction.RETRY_CHANNEL),
        (HANDSHAKE, "400::Unsupported API version. Only API versions", None, Reaction.GIVE_UP),
        (HANDSHAKE, "400::Invalid connection type {x}", None, Reaction.GIVE_UP),
        (CONNECT, "500::Something new", None, Reaction.TRY_AGAIN),
        (CONNECT, "no code at all", None, Reaction.TRY_AGAIN),
    ],
)
def test_each_refusal_has_its_reaction(
    channel: str, error: str, failure_reason: str | None, expected: Reaction
) -> None:
    """The failure reason counts first, and a busy server before all."""
    reply: dict[str, Any] = {
        "channel": channel,
        "successful": False,
        "error": error,
        "subscription": "/data/X",
    }
    if failure_reason:
        reply["ext"] = {"sfdc": {"failureReason": failure_reason}, "replay": True}
    assert reaction(reply) is expected


@pytest.mark.parametrize("subscription", [{}, {"subscription": ""}])
def test_refusal_that_names_no_channel_is_doubted(subscription: dict[str, str]) -> None:
    """With the advice to shake hands, it is the session that is lost, whatever the error says."""
    reply = {"channel": SUBSCRIBE, "error": "400::Channel name not specified", **subscription}
    assert reaction(reply) is Reaction.REFUSE_CHANNEL
    assert reaction({**reply, "advice": {"reconnect": "handshake"}}) is Reaction.RETRY_CHANNEL


@pytest.mark.parametrize("ext", [None, [], {"sfdc": "x"}, {"sfdc": {"failureReason": 503}}])
def test_nonsense_in_ext_is_no_cause(ext: Any) -> None:
    """A value of an unexpected shape is ignored."""
    assert causes({"channel": CONNECT, "error": "402::x", "ext": ext}) == ["402::x"]


def test_error_string_has_code_arguments_and_message() -> None:
    """Arguments may be empty, and the message may hold colons."""
    error = BayeuxError.parse("403:denied,again:create: denied")
    assert error == BayeuxError(code=403, args="denied,again", message="create: denied")


def test_advice_of_an_hour_silences_nobody_for_an_hour() -> None:
    """Salesforce holds a connect for 110 s; what is longer by far is bounded."""
    advice = Advice().updated({"advice": {"interval": 3_600_000, "timeout": 3_600_000}})

    assert (advice.interval_s, advice.timeout_s) == (60.0, 180.0)


def test_latest_advice_supersedes_and_nonsense_changes_nothing() -> None:
    """Milliseconds become seconds; wrong types, negative and absurd times are not followed."""
    first = Advice().updated({"advice": {"interval": 2000, "timeout": 60_000, "reconnect": "retry"}})
    assert first == Advice(interval_s=2.0, timeout_s=60.0)
    assert first.updated({"advice": {"reconnect": "handshake"}}).reconnect == "handshake"
    for nonsense in (True, -1, "5", None, float("nan"), 10**12):
        assert first.updated({"advice": {"interval": nonsense, "timeout": nonsense, "reconnect": 7}}) == first
