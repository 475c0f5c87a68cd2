"""Outcomes of records, by the rules for all targets."""

from confluent_kafka import KafkaError

from streamer.events import Delivered, FailureClass, Hold, Outcome, Reject, Retry
from subscribers.holds import RECHECK_S
from subscribers.kafka.producer import NO_TOPIC, DeliveryReport
from subscribers.kafka.records import Record

_TOO_LARGE = frozenset({KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.RECORD_LIST_TOO_LARGE})
_UNFIT = frozenset({KafkaError.INVALID_RECORD, KafkaError.INVALID_MSG, KafkaError.INVALID_TIMESTAMP})
_CREDENTIALS = frozenset({KafkaError._AUTHENTICATION, KafkaError.SASL_AUTHENTICATION_FAILED})
# For these errors, the last error of the connections is more precise.
_EXPLAINED = frozenset(
    {
        KafkaError._FATAL,
        KafkaError._MSG_TIMED_OUT,
        KafkaError._TIMED_OUT,
        KafkaError._TRANSPORT,
        KafkaError.REQUEST_TIMED_OUT,
    }
)


def outcome_of(report: DeliveryReport, record: Record, *, has_fixed_topic: bool) -> Outcome:
    """Return the outcome of `record`.

    A fault of the subscriber's only topic holds the target until an operator acts.
    If there are several topics, a fault of one topic is a retry, so that events for
    the other topics continue.
    """
    topic = record.topic
    if report.error is None:
        answer = {"topic": topic, "partition": report.partition, "offset": report.offset}
        return Delivered(answer=answer)
    if (rejection := _rejection(report.error, topic, sent=not report.is_local)) is not None:
        return rejection
    if (missing := missing_from_topic(report.error, topic, has_fixed_topic=has_fixed_topic)) is not None:
        return missing
    if report.background is not None and report.error.code() in _EXPLAINED:
        return unreached(report.background)
    failure = FailureClass.TIMEOUT if report.error.code() in _EXPLAINED else FailureClass.OTHER
    return Retry(
        reason=_said(f"the brokers did not accept the record for topic {topic}", report.error),
        failure=failure,
    )


def _rejection(error: KafkaError, topic: str, *, sent: bool) -> Reject | None:
    if error.code() in _TOO_LARGE:
        return Reject(
            reason=_said(f"the record is too large for topic {topic}", error),
            hint="send a smaller body, or raise the topic's max.message.bytes. Then redrive the dead letter",
            sent=sent,
        )
    if error.code() in _UNFIT:
        return Reject(
            reason=_said(f"the brokers refuse the record for topic {topic}", error),
            hint=(
                "a compacted topic needs records with a key: correct key in the settings, or the "
                "topic. Then redrive the dead letter"
            ),
            sent=sent,
        )
    if error.code() == KafkaError.TOPIC_EXCEPTION:
        hint = (
            "correct topic in the settings, so that the value is a valid topic name in Kafka. Then "
            "redrive the dead letter"
        )
        return Reject(reason=_said(f"{topic} is not a valid topic name", error), hint=hint, sent=sent)
    return None


def missing_from_topic(error: KafkaError, topic: str, *, has_fixed_topic: bool) -> Hold | Retry | None:
    """Return the outcome of `error` if `topic` is missing, or the permission to write to `topic`."""
    if error.code() in NO_TOPIC:
        reason, failure = f"the cluster has no topic {topic}: create the topic", FailureClass.OTHER
    elif error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED:
        reason = f"Kafka does not allow this client to write to topic {topic}: grant Write on this topic"
        failure = FailureClass.REFUSED_CREDENTIALS
    else:
        return None
    if has_fixed_topic:
        return Hold(reason=reason, after_s=RECHECK_S, alert=True, failure=failure)
    return Retry(reason=reason, failure=failure)


def unreached(background: KafkaError) -> Hold | Retry:
    """Return the outcome of an error of the connections."""
    if background.code() in _CREDENTIALS:
        return _held(_said("Kafka refuses the login: check settings.security", background))
    if background.code() == KafkaError._SSL:
        return _held(_said("TLS with Kafka failed: check settings.security.ca_file", background))
    if background.code() == KafkaError.CLUSTER_AUTHORIZATION_FAILED:
        return _held(
            "Kafka does not allow this client to use an idempotent producer: grant "
            "IdempotentWrite on the cluster"
        )
    reason = _said("Kafka can't be reached", background)
    return Retry(reason=reason, failure=FailureClass.CONNECTION)


def _held(reason: str) -> Hold:
    failure = FailureClass.REFUSED_CREDENTIALS
    return Hold(reason=reason, after_s=RECHECK_S, alert=True, failure=failure)


def _said(reason: str, error: KafkaError) -> str:
    return f"{reason} ({error.name()}: {error.str()})"
