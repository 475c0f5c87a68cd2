"""Retries of a call while its error can be temporary."""

from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from streamer.clock import TurnedClock
from streamer.errors import LogUnavailable
from streamer.log.kafka.cluster.errors import RetryPolicy


class Broker:
    """Answers a call once it has raised `errors`, and notes how often it was waited for."""

    def __init__(self, *errors: Exception) -> None:
        """Raise the first of `errors` first."""
        self._errors = list(errors)
        self._clock = TurnedClock()
        self.waits: list[float] = []

    def call(self, answer: str) -> str:
        """Return `answer`, or raise what is next."""
        if self._errors:
            raise self._errors.pop(0)
        return answer

    def wait(self, pause_s: float) -> None:
        """Note a pause."""
        self.waits.append(pause_s)
        self._clock.jump(pause_s)

    def retry(self, limit_s: float = 60.0, **options: Any) -> RetryPolicy:
        """Return a policy with `options`."""
        return RetryPolicy(clock=self._clock, limit_s=limit_s, wait=self.wait, **options)


def busy() -> KafkaException:
    """Return what a broker says that knows no coordinator yet."""
    return KafkaException(KafkaError(KafkaError.COORDINATOR_NOT_AVAILABLE))


def test_call_is_repeated_until_it_is_answered() -> None:
    """With a pause after each error."""
    broker = Broker(busy(), busy())

    assert broker.retry(pause_s=0.2).call(broker.call, "yes") == "yes"
    assert broker.waits == [0.2, 0.2]


def test_error_that_stays_is_raised_at_once() -> None:
    """No waiting helps where a permission is missing."""
    broker = Broker(KafkaException(KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED)))

    with pytest.raises(KafkaException, match="TOPIC_AUTHORIZATION_FAILED"):
        broker.retry().call(broker.call, "yes")
    assert not broker.waits


def test_last_error_is_raised_when_time_is_up() -> None:
    """The clock counts the time, and a call without a limit is still made once."""
    broker = Broker(*[busy() for _ in range(10)])

    for limit_s, waits in ((-1.0, []), (0.5, [0.2, 0.2, 0.2])):
        with pytest.raises(KafkaException, match="COORDINATOR_NOT_AVAILABLE"):
            broker.retry(limit_s, pause_s=0.2).call(broker.call, "yes")
        assert broker.waits == waits


def test_caller_that_wants_to_end_is_told_the_error() -> None:
    """It does not wait until the limit."""
    broker = Broker(busy(), busy())

    with pytest.raises(KafkaException, match="COORDINATOR_NOT_AVAILABLE"):
        broker.retry(is_over=lambda: True).call(broker.call, "yes")


def test_caller_may_judge_errors_by_itself() -> None:
    """An explained error is a `LogUnavailable`."""
    broker = Broker(LogUnavailable("away"))
    retry = broker.retry(can_pass=lambda error: isinstance(error, LogUnavailable))

    assert retry.call(broker.call, "yes") == "yes"
