"""Examination of a Kafka target by a request for metadata, which creates and writes nothing."""

from collections.abc import Mapping
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Producer

from streamer.librdkafka.options import LibraryLogger
from streamer.ports import TargetReport
from subscribers.kafka.outcomes import missing_from_topic, unreached


def examined(configuration: Mapping[str, Any], *, topic: str | None, timeout_s: float) -> TargetReport:
    """Return a report on the brokers, and on `topic` unless `topic` is `None`; this call blocks."""
    errors: list[KafkaError] = []
    # An idempotent producer would request its own producer id.
    apart = {**configuration, "enable.idempotence": False, "error_cb": errors.append}
    try:
        client = Producer(apart, logger=LibraryLogger())
    except KafkaException as exc:
        return TargetReport(is_well=False, found=unreached(exc.args[0]).reason)
    try:
        found = client.list_topics(topic, timeout_s) if topic else client.list_topics(timeout=timeout_s)
    except KafkaException as exc:
        # This serves the errors of the connections.
        client.poll(0)
        telling = [each for each in errors if each.code() != KafkaError._ALL_BROKERS_DOWN]
        return TargetReport(is_well=False, found=unreached([exc.args[0], *telling][-1]).reason)
    if topic is None:
        return TargetReport(is_well=True, found="the brokers answer; the topic depends on the event")
    error = found.topics[topic].error if topic in found.topics else None
    if error is None:
        return TargetReport(is_well=True, found=f"the brokers answer, and topic {topic} exists")
    missing = missing_from_topic(error, topic, has_fixed_topic=True)
    reason = missing.reason if missing else f"topic {topic} can't be used ({error.name()}: {error.str()})"
    return TargetReport(is_well=False, found=reason)
