"""Settings: every key of the configuration, with its default, and its unit in the name.

The models are frozen and refuse unknown keys. `streamer.configuration` reads
them from files and resolves `${ENV}` and `{file: …}`.
"""

from streamer.settings.channels import ChannelSettings, LargeText, StartTime, StartWord
from streamer.settings.daemon import Settings
from streamer.settings.log import (
    BootstrapServers,
    KafkaLogSettings,
    KafkaOAuth,
    KafkaSecurity,
    LogSettings,
    SqliteLogSettings,
)
from streamer.settings.operation import (
    AdminSettings,
    ConsoleSettings,
    ObserveSettings,
    ReconcileSettings,
    StateSettings,
)
from streamer.settings.org import (
    Auth,
    ClientCredentialsAuth,
    JwtAuth,
    OrgSettings,
    PasswordAuth,
    PubSubSettings,
    RefreshAuth,
    Transport,
)
from streamer.settings.outbound import (
    OUTBOUND_ROOT,
    OutboundMessageSettings,
    OutboundSettings,
    OutboundTlsSettings,
)
from streamer.settings.protection import MASK_TEXT, How, ProtectionSettings, ProtectRule, UnreadableBytes
from streamer.settings.route_tests import ExpectedDelivery, RouteTestSettings
from streamer.settings.schema_registry import RegistryAuth, SchemaRegistrySettings
from streamer.settings.section import Section
from streamer.settings.subscribers import (
    BreakerSettings,
    ContentSettings,
    GuardSettings,
    LookupSettings,
    LookupsSettings,
    RateSettings,
    RetrySettings,
    SubscriberSettings,
)
from streamer.settings.tracing import OtlpSettings, TracingSettings

__all__ = [
    "MASK_TEXT",
    "OUTBOUND_ROOT",
    "AdminSettings",
    "Auth",
    "BootstrapServers",
    "BreakerSettings",
    "ChannelSettings",
    "ClientCredentialsAuth",
    "ConsoleSettings",
    "ContentSettings",
    "ExpectedDelivery",
    "GuardSettings",
    "How",
    "JwtAuth",
    "KafkaLogSettings",
    "KafkaOAuth",
    "KafkaSecurity",
    "LargeText",
    "LogSettings",
    "LookupSettings",
    "LookupsSettings",
    "ObserveSettings",
    "OrgSettings",
    "OtlpSettings",
    "OutboundMessageSettings",
    "OutboundSettings",
    "OutboundTlsSettings",
    "PasswordAuth",
    "ProtectRule",
    "ProtectionSettings",
    "PubSubSettings",
    "RateSettings",
    "ReconcileSettings",
    "RefreshAuth",
    "RegistryAuth",
    "RetrySettings",
    "RouteTestSettings",
    "SchemaRegistrySettings",
    "Section",
    "Settings",
    "SqliteLogSettings",
    "StartTime",
    "StartWord",
    "StateSettings",
    "SubscriberSettings",
    "TracingSettings",
    "Transport",
    "UnreadableBytes",
]
