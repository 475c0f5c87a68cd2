"""Translates Kafka's errors into Streamer's errors, and retries calls after temporary errors."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ParamSpec, TypeVar

from confluent_kafka import KafkaError, KafkaException

from streamer.clock import Clock
from streamer.errors import CredentialsRefused, LogMisconfigured, LogUnavailable, StreamerError
from streamer.later import LaterLogger
from streamer.settings import KafkaLogSettings

_log = LaterLogger()

_CREDENTIALS = frozenset({KafkaError._AUTHENTICATION, KafkaError.SASL_AUTHENTICATION_FAILED})
_PERMISSION = frozenset(
    {
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
    }
)
_MISCONFIGURED = frozenset(
    {
        KafkaError.INVALID_CONFIG,
        KafkaError.INVALID_PARTITIONS,
        KafkaError.INVALID_REPLICATION_FACTOR,
        KafkaError.INVALID_TRANSACTION_TIMEOUT,
        KafkaError.POLICY_VIOLATION,
        KafkaError.TOPIC_EXCEPTION,
        KafkaError.UNSUPPORTED_VERSION,
        KafkaError._UNSUPPORTED_FEATURE,
    }
)
# One prefixed ACL grants these operations for all names that begin with `log.kafka.prefix`.
_BY_PREFIX = {
    KafkaError.GROUP_AUTHORIZATION_FAILED: "Read and Describe on consumer groups",
    KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED: "Write and Describe on transactional ids",
}
_ADVICE = {
    KafkaError.INVALID_TRANSACTION_TIMEOUT: (
        ": lower log.kafka.transaction_timeout_s to the brokers' transaction.max.timeout.ms"
    ),
    KafkaError.UNSUPPORTED_VERSION: ": Streamer needs brokers that support transactions",
    KafkaError._UNSUPPORTED_FEATURE: ": Streamer needs brokers that support transactions",
}

_FENCED = frozenset({KafkaError._FENCED, KafkaError.PRODUCER_FENCED, KafkaError.INVALID_PRODUCER_EPOCH})


def kafka_error(exception: KafkaException) -> KafkaError:
    """Return the Kafka error inside `exception`."""
    error: KafkaError = exception.args[0]
    return error


def is_fencing(error: KafkaError) -> bool:
    """Return whether another producer has taken over the transactional id.

    Brokers report the same error after they have ended a transaction that took too
    long.
    """
    return error.code() in _FENCED


def is_retriable(error: Exception) -> bool:
    """Return whether librdkafka marks `error` as retriable."""
    return isinstance(error, KafkaException) and kafka_error(error).retriable()


def is_denied(error: KafkaError) -> bool:
    """Return whether `error` means that an operator must grant a permission."""
    return error.code() in _PERMISSION


def _is_transient(error: KafkaError) -> bool:
    # Kafka reports this error if there are too few brokers. It also reports the error when
    # brokers have just started, or were too busy to send heartbeats to the controller.
    return error.code() == KafkaError.INVALID_REPLICATION_FACTOR and "currently fenced" in error.str()


def principal(settings: KafkaLogSettings) -> str:
    """Return the name by which the brokers know this client, for use in a sentence."""
    security = settings.security
    if security.oauth is not None:
        oauth = security.oauth
        return f"client {oauth.client_id!r}" if oauth.client_id else f"the token of {oauth.provider}"
    return f"user {security.username!r}" if security.username else "this client"


_NO_TOKEN = "Failed to acquire SASL OAUTHBEARER token"  # noqa: S105 - words of an error
"""Words of librdkafka about a token that it did not get."""


class KafkaErrors:
    """The last error of one client's background threads.

    A failed call reports only a time-out. librdkafka reports the cause to `note`,
    in the thread that polls the client.
    """

    def __init__(self, settings: KafkaLogSettings) -> None:
        """Use the brokers and the user of `settings` in error messages."""
        self._settings = settings
        self._last: KafkaError | None = None

    def note(self, error: KafkaError) -> None:
        """Remember `error`; librdkafka calls this as its `error_cb`."""
        if error.code() == KafkaError._ALL_BROKERS_DOWN and self._last is not None:
            return
        if self._last is None or self._last.code() != error.code():
            _log.warning("kafka.failing", code=error.name(), error=error.str())
        self._last = error

    def clear(self) -> None:
        """Forget the last error, after a call has succeeded."""
        self._last = None

    @property
    def refusal(self) -> StreamerError | None:
        """Error if the brokers or TLS refused this client, which no retry can overcome; otherwise `None`."""
        if self._last is None:
            return None
        if _NO_TOKEN in self._last.str():
            return self._no_token(self._last)
        if self._last.code() in _CREDENTIALS:
            return self._credentials_refused()
        if self._last.code() == KafkaError._SSL:
            return LogMisconfigured(
                f"TLS with Kafka at {self._where} failed: check log.kafka.security.ca_file, and that the "
                f"certificate names the host ({self._last.str()})"
            )
        return None

    def explain(self, error: KafkaError, *, doing: str, subject: str) -> StreamerError:
        """Return Streamer's error for Kafka's `error`; `doing` and `subject` describe the failed action."""
        if error.code() in _PERMISSION:
            return self._not_allowed(error, doing, subject)
        if _NO_TOKEN in error.str():
            return self._no_token(error)
        if error.code() in _CREDENTIALS:
            return self._credentials_refused()
        if error.code() in _MISCONFIGURED and not _is_transient(error):
            advice = _ADVICE.get(error.code(), "")
            return LogMisconfigured(f"{doing} {subject} failed: {error.str()} ({error.name()}){advice}")
        if self.refusal is not None:
            return self.refusal
        cause = f"; before that: {self._last.str()}" if self._last else ""
        where = f"{self._where} (log.kafka.bootstrap_servers)"
        return LogUnavailable(f"{doing} {subject} failed at {where}: {error.str()}{cause}")

    @contextmanager
    def explained(self, *, doing: str, subject: str) -> Iterator[None]:
        """Context manager: translate Kafka's errors; `doing` and `subject` describe the action."""
        try:
            yield
        except KafkaException as exc:
            raise self.explain(kafka_error(exc), doing=doing, subject=subject) from exc

    def _not_allowed(self, error: KafkaError, doing: str, subject: str) -> StreamerError:
        failed = f"{doing} {subject} failed, because Kafka does not allow this action for {self._principal}"
        if error.code() in _BY_PREFIX:
            granted = f"{_BY_PREFIX[error.code()]} that begin with '{self._settings.prefix}.'"
            return LogMisconfigured(f"{failed}: grant {granted} ({error.name()})")
        return LogMisconfigured(f"{failed}: grant the permission ({error.name()}: {error.str()})")

    @property
    def _where(self) -> str:
        return self._settings.bootstrap_servers

    @property
    def _principal(self) -> str:
        return principal(self._settings)

    def _credentials_refused(self) -> CredentialsRefused:
        security = self._settings.security
        mechanism = security.mechanism or security.protocol
        keys = "oauth" if security.oauth else "username, password and mechanism"
        return CredentialsRefused(
            f"Kafka at {self._where} refused the login of {self._principal} by {mechanism}: check "
            f"{keys} in log.kafka.security"
        )

    def _no_token(self, error: KafkaError) -> LogUnavailable:
        oauth = self._settings.security.oauth
        source = (oauth.token_url or f"the provider {oauth.provider}") if oauth else "log.kafka.security"
        reason = error.str().partition(_NO_TOKEN)[2].lstrip(": ")
        return LogUnavailable(
            f"there is no token for Kafka from {source} ({reason}): check log.kafka.security.oauth"
        )


# A transaction that a previous owner left open times out after 10 s, and the broker checks
# time-outs every 10 s. Until then the group has no offsets to resume from.
RETRY_LIMIT_S = 25.0
"""Longest time to wait for a group's offsets, in seconds."""
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
        # Not every broker knows a topic that was created a moment ago.
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        # A transaction of the previous owner is open; it ends at its time-out at the latest.
        KafkaError.UNSTABLE_OFFSET_COMMIT,
    }
)
_Arguments = ParamSpec("_Arguments")
_Answer = TypeVar("_Answer")


def passes_by_itself(error: Exception) -> bool:
    """Return whether `error` is a Kafka error that ends without an operator's help."""
    return isinstance(error, KafkaException) and kafka_error(error).code() in _MAY_PASS


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """Repeats a call while its error is temporary, for at most `limit_s` seconds.

    Between two attempts, `wait` pauses for `pause_s` seconds. `wait` can return
    early, and can raise an error if another attempt is useless. `is_over` returns
    true when the caller wants no more attempts. `can_pass` decides whether a
    `KafkaException` or `LogUnavailable` is temporary; any other error is raised at
    once.
    """

    clock: Clock
    limit_s: float
    wait: Callable[[float], object]
    is_over: Callable[[], bool] = lambda: False
    can_pass: Callable[[Exception], bool] = passes_by_itself
    pause_s: float = _PAUSE_S

    def call(
        self, call: Callable[_Arguments, _Answer], *args: _Arguments.args, **kwargs: _Arguments.kwargs
    ) -> _Answer:
        """Return the result of `call`; raise the error of its last attempt."""
        deadline = self.clock.monotonic() + self.limit_s
        while True:
            try:
                return call(*args, **kwargs)
            except (KafkaException, LogUnavailable) as exc:
                if not self.can_pass(exc) or self.is_over() or self.clock.monotonic() > deadline:
                    raise
            self.wait(self.pause_s)
