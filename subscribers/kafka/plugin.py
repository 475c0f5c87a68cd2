"""Implementation of the Kafka plugin."""

from collections.abc import Sequence
from types import TracebackType
from typing import Any, Final, Self

from streamer.errors import ConfigurationError
from streamer.events import Delivery, Outcome
from streamer.librdkafka.options import security_options, token_options
from streamer.ports import PluginContext, Preview, TargetReport
from subscribers.kafka.examination import examined
from subscribers.kafka.outcomes import outcome_of
from subscribers.kafka.producer import ReportingProducer, refusal
from subscribers.kafka.records import Record, Records
from subscribers.kafka.settings import KafkaSettings
from subscribers.placeholders import Template

_MAX_MESSAGE_BYTES = 4 * 1024 * 1024
_SOCKET_TIMEOUT_MS = 10_000
_PROPAGATION_MS = 5_000


class Kafka:
    """Writes one record for each event; all in-sync replicas acknowledge it.

    The value of a record is the subscriber's `content` or `body`, or without both,
    the event's data. The events of a batch are written and flushed together. The
    producer is idempotent, so repetitions by the client within a call write a
    record once. A later attempt can write the record again, with the same `ce_id`.
    Calls block, so Streamer makes them on threads.
    """

    Settings = KafkaSettings
    takes_content: Final = True
    takes_text: Final = False

    def __init__(self, settings: KafkaSettings, context: PluginContext) -> None:
        """Raise `ConfigurationError` for settings that librdkafka refuses."""
        configuration = _configuration(settings, client=f"streamer.{context.name}")
        if reason := refusal(configuration):
            raise ConfigurationError(f"librdkafka refuses the settings: {reason}")
        self._settings, self._configuration = settings, configuration
        self._records = Records(settings)
        self._has_fixed_topic = Template(settings.topic).is_fixed
        self._producer = ReportingProducer(configuration, settings.timeout_s)
        self.batch_size = settings.batch_size
        self.batch_wait_s = settings.batch_wait_s

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End the producer; every earlier call has waited for its records."""
        self._producer.close()

    def deliver(self, delivery: Delivery, /) -> Outcome:
        """Write one record, and return the outcome."""
        [outcome] = self.deliver_many([delivery])
        return outcome

    def deliver_many(self, deliveries: Sequence[Delivery], /) -> Sequence[Outcome]:
        """Write the records of `deliveries` together, and return their outcomes."""
        made = [self._records.of(delivery) for delivery in deliveries]
        records = [each for each in made if isinstance(each, Record)]
        reports = iter(self._producer.produce(records) if records else ())
        return [
            outcome_of(next(reports), each, has_fixed_topic=self._has_fixed_topic)
            if isinstance(each, Record)
            else each
            for each in made
        ]

    def examine_target(self) -> TargetReport:
        """Ask the brokers for the topic, with a separate client."""
        topic = self._settings.topic if self._has_fixed_topic else None
        return examined(self._configuration, topic=topic, timeout_s=self._settings.timeout_s)

    def preview(self, delivery: Delivery, /) -> Preview | Outcome:
        """Return the record that would be written, or the outcome if there is no record."""
        made = self._records.of(delivery)
        if not isinstance(made, Record):
            return made
        key = "no key" if made.key is None else f"key {made.key.decode()}"
        is_tombstone = made.value is None
        return Preview(
            request=f"WRITE {made.topic} ({key}{', a tombstone' * is_tombstone})",
            headers={name: value.decode() for name, value in made.headers.items()},
            content=made.value or b"",
        )


def _configuration(settings: KafkaSettings, *, client: str) -> dict[str, Any]:
    timeout_ms = round(settings.timeout_s * 1000)
    return {
        "client.id": client,
        "compression.type": settings.compression,
        # This only delays records that are not flushed.
        "linger.ms": min(5, timeout_ms),
        # This limit is high, so that the brokers decide which record is too large.
        "message.max.bytes": _MAX_MESSAGE_BYTES,
        "reconnect.backoff.max.ms": 1_000,
        "socket.keepalive.enable": True,
        "socket.timeout.ms": min(_SOCKET_TIMEOUT_MS, max(timeout_ms, 1_000)),
        # A topic that is unknown after this time is reported as missing, before the records
        # time out.
        "topic.metadata.propagation.max.ms": min(_PROPAGATION_MS, timeout_ms // 2),
        **settings.options,
        "bootstrap.servers": settings.bootstrap_servers,
        "acks": "all",
        "allow.auto.create.topics": False,
        "enable.idempotence": True,
        "message.timeout.ms": timeout_ms,
        "partitioner": "murmur2_random",
        **security_options(settings.security),
        **token_options(settings.security),
    }
