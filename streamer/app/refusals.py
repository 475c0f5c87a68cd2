"""Messages about settings that are valid, but that a part of the daemon refuses at the start."""

from collections.abc import Iterator, Sequence

from streamer.clock import Clock
from streamer.configuration import Document, Draft, Keys
from streamer.errors import ConfigurationError, LogMisconfigured, StreamerError
from streamer.salesforce.auth.flows import safe_address
from streamer.settings import (
    JwtAuth,
    KafkaLogSettings,
    OrgSettings,
    OutboundSettings,
    TracingSettings,
    Transport,
)

_CHECKED_COMPLETELY = frozenset(
    {
        "allow_plaintext",
        "append_deadline_s",
        "bootstrap_servers",
        "checkpoint_partitions",
        "content_mode",
        "create_topics",
        "format",
        "group_commit_bytes",
        "group_commit_events",
        "parked_partitions",
        "partitions",
        "prefix",
        "replication_factor",
        "retention_h",
        "schema_registry",
        "tombstones",
        "topic",
        "topic_case",
        "topic_names",
        "topics",
    }
)
"""Keys of `log.kafka` that Streamer checks completely; only librdkafka can check all other keys."""


def refusals(draft: Draft, document: Document, clock: Clock) -> Iterator[str]:
    """Yield a message for each part of `draft` that is valid, but that the daemon refuses at the start."""
    org = draft.settings.org
    if draft.is_sound("org", "login_url") and draft.is_sound("org", "allow_http"):
        yield from _refused_address(org, document)
    if all(draft.is_sound("org", key) for key in ("pubsub", "allow_http", "proxy")) and _uses_pubsub(draft):
        yield from _refused_pubsub(org, document)
    if draft.is_sound("org", "auth"):
        yield from _refused_key(org, document, clock)
    if draft.settings.outbound is not None and draft.is_sound("outbound"):
        yield from _refused_certificate(draft.settings.outbound, document)
    if draft.settings.tracing is not None and draft.is_sound("tracing"):
        yield from _refused_tracing(draft.settings.tracing, document)
    kafka = draft.settings.log.kafka
    if kafka is not None and draft.is_sound("log"):
        yield from _refused_kafka(kafka, document)


def _refused_kafka(kafka: KafkaLogSettings, document: Document) -> Iterator[str]:
    registry = kafka.schema_registry
    shared = [
        kind for kind in ("cdc", "event") if "{name}" not in (kafka.topics.model_dump()[kind] or "{name}")
    ]
    if kafka.format != "json" and registry is not None and registry.subjects == "topic" and shared:
        yield document.mistake(
            ("log", "kafka", "topics", shared[0]),
            "all events of this kind share a topic, so their schemas need subjects of their own: set "
            "log.kafka.schema_registry.subjects to record or topic-record",
        )
    if registry is not None and registry.ca_file is not None and not registry.ca_file.is_file():
        yield document.mistake(("log", "kafka", "schema_registry", "ca_file"), "this file does not exist")
    if kafka.topics.model_fields_set or kafka.topic_names:
        from streamer.log.kafka.cluster.names import Names  # noqa: PLC0415 - few set these keys

        names = Names.of(kafka)
        for place, sentence in names.naming.mistakes(names.is_internal):
            yield document.mistake(("log", "kafka", *place), sentence)
    # librdkafka accepts the defaults of all other keys, and takes long to import.
    if kafka.model_fields_set <= _CHECKED_COMPLETELY:
        return
    from streamer.log.kafka.cluster.clients import Clients, reserved_options  # noqa: PLC0415 - as said

    clients = Clients(settings=kafka)
    reserved = {
        name: f"must not be set: {reason}" for name, reason in reserved_options(kafka.options).items()
    }
    refused = {name: f"librdkafka says: {reason}" for name, reason in clients.refused_options().items()}
    for name, sentence in (refused | reserved).items():
        keys: Keys = ("log", "kafka", "options", name)
        # librdkafka's reason repeats the value.
        shown = name in reserved or not document.is_secret(keys)
        yield document.mistake(keys, sentence if shown else "librdkafka refuses this option")
    if refused or reserved:
        return
    try:
        clients.verify()
    except LogMisconfigured as error:
        yield _line(document, ("log", "kafka"), error)


def _refused_tracing(tracing: TracingSettings, document: Document) -> Iterator[str]:
    from streamer.app.assembly import has_opentelemetry  # noqa: PLC0415 - few daemons trace

    if not has_opentelemetry():
        yield document.mistake(
            ("tracing",),
            (
                "needs packages that are not installed: install them with pip install "
                "'streamer-salesforce[otel]'"
            ),
        )
    ca_file = tracing.otlp.ca_file
    if ca_file is not None and not ca_file.is_file():
        yield document.mistake(("tracing", "otlp", "ca_file"), "this file does not exist")


def _refused_address(org: OrgSettings, document: Document) -> Iterator[str]:
    try:
        safe_address(org.login_url, named="org.login_url", allow_http=org.allow_http)
    except ConfigurationError as error:
        yield _line(document, ("org", "login_url"), error)


def _uses_pubsub(draft: Draft) -> bool:
    settings = draft.settings
    return any(settings.transport_of(each) is Transport.PUBSUB for each in settings.channels)


def _refused_pubsub(org: OrgSettings, document: Document) -> Iterator[str]:
    # The import of gRPC takes a tenth of a second, and CometD does not need it.
    from streamer.salesforce.pubsub.options import PubSubOptions  # noqa: PLC0415 - as said

    try:
        PubSubOptions.of(org)
    except ConfigurationError as error:
        named = str(error).partition(" ")[0].rstrip(":").split(".")
        yield _line(document, named if named[0] == "org" else ("org", "proxy"), error)


def _refused_certificate(outbound: OutboundSettings, document: Document) -> Iterator[str]:
    # The import of aiohttp takes half a second, and most daemons receive no outbound messages.
    from streamer.salesforce.outbound.endpoint import tls_files  # noqa: PLC0415 - as said

    files = tls_files(outbound)
    if files is None:
        return
    try:
        files.context()
    except ConfigurationError as error:
        yield _line(document, str(error).partition(":")[0].split("."), error)


def _refused_key(org: OrgSettings, document: Document, clock: Clock) -> Iterator[str]:
    if not isinstance(org.auth, JwtAuth):
        return
    # The import of cryptography takes a tenth of a second, and only this flow needs it.
    from streamer.salesforce.auth.flows import token_form  # noqa: PLC0415 - as said

    try:
        token_form(org.auth, login_url=org.login_url, now=clock.now())
    except ConfigurationError as error:
        yield _line(document, ("org", "auth", "key"), error)


def _line(document: Document, keys: Sequence[int | str], error: StreamerError) -> str:
    """Return the message of `error` with file, line and key; a key that begins the message is removed."""
    return document.mistake(keys, str(error).removeprefix(".".join(map(str, keys))).lstrip(": "))
