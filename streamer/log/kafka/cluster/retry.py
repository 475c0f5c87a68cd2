"""Retries of calls that a broker answers only after a while."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import ParamSpec, TypeVar

from confluent_kafka import KafkaError, KafkaException

from streamer.errors import LogUnavailable
from streamer.log.kafka.cluster.errors import kafka_error

# A transaction that a former owner left open ends by its timeout of 10 s, which
# the broker looks for every 10 s; until then there are no offsets to go on from.
RETRY_LIMIT_S = 25.0
"""Longest wait for a group's committed offsets."""

_PAUSE_S = 0.1

_MAY_PASS = frozenset(
    {
        KafkaError._ALL_BROKERS_DOWN,
        KafkaError._TIMED_OUT,
        KafkaError._TRANSPORT,
        KafkaError._WAIT_COORD,
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.FENCED_LEADER_EPOCH,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.NETWORK_EXCEPTION,
        KafkaError.NOT_COORDINATOR,
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.OFFSET_NOT_AVAILABLE,
        KafkaError.REQUEST_TIMED_OUT,
        KafkaError.UNKNOWN_LEADER_EPOCH,
        # A topic that was created a moment ago is not known to every broker.
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        # A former owner's transaction is open; it ends by its timeout at the latest.
        KafkaError.UNSTABLE_OFFSET_COMMIT,
    }
)

_Arguments = ParamSpec("_Arguments")
_Answer = TypeVar("_Answer")


def passes_by_itself(error: Exception) -> bool:
    """Return whether `error` is Kafka's and passes without an operator."""
    return isinstance(error, KafkaException) and kafka_error(error).code() in _MAY_PASS


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """Repeats a call while its error can pass, for at most `limit_s` seconds.

    `wait` pauses for `pause_s` in between: it can return early, and raise an
    error that makes another try useless. `is_over` returns true when the caller
    wants to end. `can_pass` judges a `KafkaException` or `LogUnavailable`; a
    call that raises any other error is never repeated.
    """

    limit_s: float
    wait: Callable[[float], object]
    is_over: Callable[[], bool] = lambda: False
    can_pass: Callable[[Exception], bool] = passes_by_itself
    pause_s: float = _PAUSE_S

    def call(
        self, call: Callable[_Arguments, _Answer], *args: _Arguments.args, **kwargs: _Arguments.kwargs
    ) -> _Answer:
        """Return what `call` returns; raises its last error."""
        deadline = time.monotonic() + self.limit_s
        while True:
            try:
                return call(*args, **kwargs)
            except (KafkaException, LogUnavailable) as exc:
                if not self.can_pass(exc) or self.is_over() or time.monotonic() > deadline:
                    raise
            self.wait(self.pause_s)
