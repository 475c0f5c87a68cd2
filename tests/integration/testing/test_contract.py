"""The contract accepts correct plugins, and finds each mistake."""

from collections.abc import Callable
from typing import Any

import pytest

from streamer.errors import ConfigurationError
from streamer.testing import ContractBrokenError, HttpSubscriberContract
from tests.integration.testing import mistakes
from tests.integration.testing.careful import Careful


class TestCareful(HttpSubscriberContract):
    """A subscriber that keeps the contract without our own HTTP code passes."""

    plugin = Careful

    def settings(self, address: str) -> dict[str, Any]:
        """Return those of a target at `address`."""
        return {"url": address, "token": "hunter22"}


Contract = HttpSubscriberContract

MISTAKES: list[tuple[type[Careful], Callable[[Contract], None], str]] = [
    (mistakes.Raises, Contract.test_failing_target_is_tried_again, "deliver raised ClientResponseError"),
    (mistakes.Raises, Contract.test_lost_connection_is_tried_again, "deliver raised ServerDisconnectedError"),
    (mistakes.ReturnsNothing, Contract.test_failing_target_is_tried_again, "deliver returned NoneType"),
    (
        mistakes.TriesEverythingAgain,
        Contract.test_wrong_request_is_not_repeated,
        "answered 400: the outcome is Retry",
    ),
    (
        mistakes.TriesEverythingAgain,
        Contract.test_target_that_is_gone_is_left_alone,
        "answered 410: the outcome is Retry",
    ),
    (
        mistakes.RejectsWhoMustLogIn,
        Contract.test_refused_credentials_hold_the_target,
        "answered 401: the outcome is Reject",
    ),
    (
        mistakes.IgnoresPauses,
        Contract.test_pause_that_the_target_asks_for_is_kept,
        "holds the target for 60 s",
    ),
    (
        mistakes.ReadsSecondsAlone,
        Contract.test_pause_that_the_target_asks_for_is_kept,
        "deliver raised ValueError",
    ),
    (mistakes.BelievesEveryPause, Contract.test_senseless_pause_does_no_harm, "has an invalid after_s"),
    (mistakes.FollowsRedirects, Contract.test_redirect_is_not_followed, "followed a redirect"),
    (mistakes.NeverGivesUp, Contract.test_slow_target_is_given_up, r"took longer than 5 s"),
    (mistakes.SwallowsCancellation, Contract.test_cancelled_attempt_ends, "do not catch CancelledError"),
    (mistakes.ParsesAnything, Contract.test_nonsense_has_an_outcome, "deliver raised JSONDecodeError"),
    (mistakes.KeepsWholeAnswers, Contract.test_large_answer_is_not_kept, "keep only an excerpt"),
    (mistakes.ShowsItsToken, Contract.test_echoed_secrets_are_taken_out, "contains a secret of the settings"),
    (
        mistakes.NewKeyEachTime,
        Contract.test_every_attempt_carries_the_same_key,
        "must have the same value in each attempt",
    ),
    (
        mistakes.SameKeyForAll,
        Contract.test_every_attempt_carries_the_same_key,
        "and another value for another event",
    ),
    (
        mistakes.EventIdForKey,
        Contract.test_every_attempt_carries_the_same_key,
        "and not the event's id",
    ),
    (mistakes.NoKey, Contract.test_every_attempt_carries_the_same_key, "must contain the delivery's key"),
    (mistakes.KeyAsItIs, Contract.test_key_of_any_characters_adds_no_header, "deliver raised ValueError"),
    (
        mistakes.SharesItsState,
        Contract.test_failures_stay_with_their_deliveries,
        "keep no data of a delivery in self",
    ),
    (
        mistakes.TakesOneAtATime,
        Contract.test_takes_many_keys_at_once,
        "20 deliveries run at once: the outcome is Retry",
    ),
    (mistakes.NeverCloses, Contract.test_leaves_nothing_open, "connections are still open"),
    (mistakes.ForgetsASession, Contract.test_leaves_nothing_open, "Unclosed client session"),
    (
        mistakes.ForgetsATask,
        Contract.test_leaves_nothing_open,
        r"tasks still run after closing the plugin \(heartbeat\)",
    ),
    (
        mistakes.StopsWithoutTarget,
        Contract.test_missing_target_is_tried_again,
        "opening the plugin raised ConfigurationError",
    ),
    (mistakes.ShowsItsSettings, Contract.test_settings_do_not_show_their_secrets, "token is a plain text"),
    (mistakes.WantsASubject, Contract.test_every_event_has_an_outcome, "deliver raised AssertionError"),
]


@pytest.mark.parametrize(
    ("plugin", "check", "words"), MISTAKES, ids=lambda each: getattr(each, "__name__", "")
)
def test_mistake_is_found(plugin: type[Careful], check: Callable[[Contract], None], words: str) -> None:
    """Each check fails for what it is there for, with a sentence that says what to mend."""

    class Mistaken(TestCareful):
        """The contract of the plugin with the mistake."""

    Mistaken.plugin = plugin
    Mistaken.attempt_limit_s = 5.0
    with pytest.raises(ContractBrokenError, match=words):
        check(Mistaken())


def test_plugin_that_opens_once_is_found() -> None:
    """After a rebalance it would never deliver again."""

    class Mistaken(TestCareful):
        """The contract of the plugin with the mistake."""

        plugin = mistakes.OpensOnce

    with pytest.raises(ConfigurationError, match="is in use"):
        Mistaken().test_opens_and_closes_twice()
