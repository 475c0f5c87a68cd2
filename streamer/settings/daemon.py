"""Settings of the whole daemon."""

from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SecretStr,
    ValidationInfo,
    field_validator,
    model_validator,
)

from streamer.channel_paths import ChannelKind, carrier_of
from streamer.events import SubscriberName
from streamer.settings.channels import ChannelSettings
from streamer.settings.log import LogSettings, SqliteLogSettings
from streamer.settings.operation import AdminSettings, ObserveSettings, ReconcileSettings, StateSettings
from streamer.settings.org import OrgSettings, RefreshAuth, Transport
from streamer.settings.outbound import OutboundSettings
from streamer.settings.protection import ProtectionSettings, ProtectRule
from streamer.settings.route_tests import RouteTestSettings
from streamer.settings.section import Section, optional_section
from streamer.settings.subscribers import LookupsSettings, SubscriberSettings
from streamer.settings.tracing import TracingSettings

_NAME = r"^[a-z][a-z0-9_-]{0,62}$"
_SHORTEST_KEY = 16


def _long_enough(key: SecretStr) -> SecretStr:
    if len(key.get_secret_value()) < _SHORTEST_KEY:
        raise ValueError(
            f"must have at least {_SHORTEST_KEY} characters, because shorter keys can be guessed"
        )
    return key


def _from_path(value: Any) -> Any:
    return {"path": value} if isinstance(value, str) else value


def _check_carried(entities: tuple[str, ...], info: ValidationInfo) -> None:
    """Raise `ValueError` if no channel carries the changes of one of `entities`."""
    # `info.data` does not contain the channels if they have a mistake.
    if "channels" not in info.data:
        return
    paths = [channel.path for channel in info.data["channels"]]
    if alone := [each for each in entities if carrier_of(each, paths) is None]:
        raise ValueError(f"no channel carries the changes of {', '.join(alone)}: add /data/ChangeEvents")


class Settings(Section):
    """Configuration of one daemon."""

    org: OrgSettings = Field(description="address of the Salesforce org, and Streamer's credentials")
    # Declared before `channels`, whose validation reads it: with outbound messages,
    # channels can be empty.
    outbound: OutboundSettings | None = Field(
        default=None,
        description="endpoint that receives outbound messages from Salesforce; default: no endpoint",
    )
    channels: tuple[
        Annotated[ChannelSettings, BeforeValidator(_from_path, json_schema_input_type=str | ChannelSettings)],
        ...,
    ] = Field(
        description=(
            "channels to read: each entry is a path, or a section with a path and options; an empty list "
            "([]) means that Streamer receives only outbound messages"
        )
    )
    log: LogSettings = optional_section("log in which Streamer keeps the events")
    protect: tuple[ProtectRule, ...] = Field(
        default=(),
        description="rules for fields that Streamer drops, masks or hashes before it stores an event",
    )
    protection: ProtectionSettings = optional_section("settings that all rules in protect share")
    subscribers: dict[
        Annotated[SubscriberName, Field(pattern=r"^[a-z][a-z0-9-]{0,62}$")], SubscriberSettings
    ] = Field(
        default_factory=dict, description="subscribers by name; each subscriber delivers events to one target"
    )
    tables: dict[Annotated[str, Field(pattern=_NAME)], dict[str, Any]] = Field(
        default_factory=dict,
        description=(
            "tables by name, for the function lookup() in expressions; a table maps keys to values, or "
            "is {file: table.csv}"
        ),
    )
    hash_keys: dict[
        Annotated[str, Field(pattern=_NAME)], Annotated[SecretStr, AfterValidator(_long_enough)]
    ] = Field(
        default_factory=dict,
        description=(
            "secret keys by name, for the function hmac_sha256() in expressions; each key needs at least "
            "16 characters"
        ),
    )
    tests: dict[Annotated[str, Field(pattern=_NAME)], RouteTestSettings] = Field(
        default_factory=dict,
        description="tests by name, which streamer test runs: an event, and the expected deliveries",
    )
    lookups: LookupsSettings = optional_section("limits for the look-ups of all subscribers with enrich")
    state: StateSettings | None = Field(
        default=None,
        description=(
            "objects whose records Streamer keeps as a whole, beside the change events; default: none"
        ),
    )
    reconcile: ReconcileSettings | None = Field(
        default=None,
        description="schedule on which Streamer compares the org with the log; default: no comparisons",
    )
    observe: ObserveSettings = optional_section("metrics, probes and logs")
    tracing: TracingSettings | None = Field(
        default=None, description="OpenTelemetry traces of events; default: no traces"
    )
    admin: AdminSettings | None = optional_section(
        "API and web console for operators; null switches both off"
    )
    grace_period_s: float = Field(
        default=25.0,
        gt=0,
        description="time that a stopping daemon waits for deliveries under way, before it cancels them",
    )

    def transport_of(self, channel: ChannelSettings) -> Transport:
        """Return the transport of `channel`. PushTopic and generic channels can only use CometD."""
        if not ChannelKind.of(channel.path).is_on_pubsub:
            return Transport.COMETD
        return channel.transport or self.org.transport

    @property
    def paths(self) -> tuple[str, ...]:
        """Paths of all channels, including outbound messages."""
        return tuple(each.path for each in self.channels) + (self.outbound.paths if self.outbound else ())

    @model_validator(mode="after")
    def _has_a_file_for_refresh_tokens(self) -> Self:
        auth = self.org.auth
        if isinstance(auth, RefreshAuth) and auth.token_file is None and self.log.kafka is None:
            log = (self.log.sqlite or SqliteLogSettings()).path
            beside = log.with_name(log.name + ".refresh-token")
            org = self.org.model_copy(update={"auth": auth.model_copy(update={"token_file": beside})})
            # The model is frozen, but this default depends on another section.
            self.__dict__["org"] = org
        return self

    @field_validator("reconcile")
    @classmethod
    def _are_compared_and_carried(
        cls, reconcile: ReconcileSettings | None, info: ValidationInfo
    ) -> ReconcileSettings | None:
        _check_carried(reconcile.entities if reconcile else (), info)
        return reconcile

    @field_validator("state")
    @classmethod
    def _are_kept_and_carried(cls, state: StateSettings | None, info: ValidationInfo) -> StateSettings | None:
        _check_carried(state.objects if state else (), info)
        return state

    @field_validator("channels")
    @classmethod
    def _are_unique(
        cls, channels: tuple[ChannelSettings, ...], info: ValidationInfo
    ) -> tuple[ChannelSettings, ...]:
        # min_length would count only valid channels, so an invalid channel would cause a second
        # message. `info.data` does not contain a section with a mistake.
        if not channels and info.data.get("outbound", ...) is None:
            raise ValueError("name at least one channel, such as /data/ChangeEvents")
        paths = [channel.path for channel in channels]
        repeated = sorted({path for path in paths if paths.count(path) > 1})
        if repeated:
            raise ValueError(f"must not name a channel more than once: {', '.join(repeated)}")
        return channels
