"""Settings: every key of the configuration, with its default, and its unit in the name.

The models are frozen and refuse unknown keys. `streamer.configuration` reads
them from files and resolves `${ENV}` and `{file: …}`.
"""

import re
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    field_validator,
    model_validator,
)

from streamer.events import Start, SubscriberName
from streamer.web.loopback import is_loopback

_HOUR_S = 3600.0


class Section(BaseModel):
    """Part of the configuration: frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class JwtAuth(Section):
    """OAuth 2 JWT bearer: a connected app with a certificate, approved for the user in advance."""

    flow: Literal["jwt"]
    client_id: str
    username: str
    key: SecretStr = Field(description="RSA private key, PEM; usually {file: /run/secrets/…}")
    audience: str | None = Field(default=None, description="aud claim; default: login or test.salesforce.com")


class ClientCredentialsAuth(Section):
    """OAuth 2 client credentials: needs the org's My Domain URL and a run-as user of the app."""

    flow: Literal["client_credentials"]
    client_id: str
    client_secret: SecretStr


class RefreshAuth(Section):
    """Refresh token that was issued before."""

    flow: Literal["refresh"]
    client_id: str
    client_secret: SecretStr | None = None
    refresh_token: SecretStr


class PasswordAuth(Section):
    """Username, and password with the security token appended; Salesforce is retiring this flow."""

    flow: Literal["password"]
    client_id: str
    client_secret: SecretStr
    username: str
    password: SecretStr


Auth = Annotated[
    JwtAuth | ClientCredentialsAuth | RefreshAuth | PasswordAuth,
    Field(discriminator="flow"),
]


class OrgSettings(Section):
    """Address of the org, and the credentials for it."""

    login_url: str = Field(
        description="My Domain URL, login.salesforce.com, test.salesforce.com or any server"
    )
    auth: Auth
    api_version: str = Field(default="64.0", pattern=r"^\d{2,3}\.0$", examples=['"64.0"'])
    allow_http: bool = Field(default=False, description="allow plain http to hosts other than loopback")
    instance_hosts: frozenset[str] = Field(
        default=frozenset(),
        description="hosts outside of the site of login_url to which a login may send us",
    )

    @field_validator("login_url")
    @classmethod
    def _has_scheme(cls, url: str) -> str:
        if "@" in url:
            raise ValueError("must not contain a user or a password: they belong to org.auth")
        if not re.match(r"^https?://[^/\s]+/?$", url):
            raise ValueError("must be a URL without a path, such as https://acme.my.salesforce.com")
        return url.rstrip("/")


class ChannelSettings(Section):
    """One subscription path, and the rules for beginning and recovering on it."""

    path: str
    start: Start = Field(default=Start.LATEST, description="where to begin when the log has no checkpoint")
    on_refused_replay_id: Literal["earliest", "latest", "fail"] = Field(
        default="earliest",
        description="where to go on when Salesforce no longer knows the checkpoint; always recorded",
    )
    key: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z]\w*$",
        examples=["Order_No__c"],
        description="the field by which platform events stay in order; default: no order between them",
    )

    @field_validator("path")
    @classmethod
    def _is_a_channel(cls, path: str) -> str:
        if not re.match(r"^/(data|event)/[A-Za-z]\w*$", path):
            raise ValueError(
                "must look like /data/ChangeEvents, /data/AccountChangeEvent or /event/Order_Placed__e"
            )
        return path


def _from_path(value: Any) -> Any:
    return {"path": value} if isinstance(value, str) else value


class KafkaSecurity(Section):
    """Encryption and authentication between Streamer and the brokers."""

    protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] | None = None
    username: str | None = None
    password: SecretStr | None = None
    ca_file: Path | None = Field(
        default=None, description="PEM; default: the system's certificate authorities"
    )
    certificate_file: Path | None = Field(default=None, description="client certificate for mTLS, PEM")
    key_file: Path | None = Field(default=None, description="its private key, PEM")
    key_password: SecretStr | None = Field(default=None, description="of the private key")

    @model_validator(mode="after")
    def _sasl_is_complete(self) -> Self:
        if self.protocol.startswith("SASL") and not (self.mechanism and self.username and self.password):
            raise ValueError(f"{self.protocol} needs mechanism, username and password")
        return self


class KafkaLogSettings(Section):
    """Log in Kafka."""

    bootstrap_servers: str = Field(description="host:port, several separated by commas")
    prefix: str = Field(
        default="streamer",
        pattern=r"^[A-Za-z0-9._-]{1,80}$",
        examples=["streamer"],
        description="begins every name in Kafka except event topics; daemons with one prefix share the work",
    )
    security: KafkaSecurity = KafkaSecurity()
    allow_plaintext: bool = Field(
        default=False, description="allow brokers on hosts other than loopback without encryption"
    )
    topic: str = Field(
        default="salesforce.{kind}.{name}",
        description="name of an event topic; {kind} is cdc or event, {name} the entity or platform event",
    )
    content_mode: Literal["binary", "structured"] = Field(
        default="binary", description="CloudEvents attributes in headers, or one JSON document"
    )
    compression: Literal["none", "gzip", "snappy", "lz4", "zstd"] = Field(
        default="lz4", description="of the records; every reader needs a library that knows it"
    )
    create_topics: bool = Field(default=True, description="false: missing topics are reported, never created")
    partitions: int = Field(default=6, ge=1, description="of a new event topic")
    replication_factor: int = Field(default=-1, description="of a new topic; -1 is the broker's default")
    retention_h: float | None = Field(
        default=None, gt=0, description="of a new event topic; default: the broker's"
    )
    checkpoint_partitions: int = Field(default=8, ge=1, le=256, description="fixed once the topic exists")
    parked_partitions: int = Field(
        default=8, ge=1, le=256, description="of each subscriber's parked events; fixed once the topic exists"
    )
    group_commit_events: int = Field(default=5_000, ge=1)
    group_commit_bytes: int = Field(default=8 * 1024 * 1024, ge=1024)
    append_deadline_s: float = Field(default=20.0, gt=0)
    transaction_timeout_s: float = Field(default=30.0, gt=0)
    session_timeout_s: float = Field(default=6.0, gt=0)
    options: dict[str, str | int | float | bool] = Field(
        default_factory=dict, description="any librdkafka setting by its own name, for every client"
    )

    @field_validator("topic")
    @classmethod
    def _is_a_template(cls, template: str) -> str:
        if "{name}" not in template or re.search(
            r"[^A-Za-z0-9._-]", re.sub(r"\{(kind|name)\}", "", template)
        ):
            raise ValueError(
                "must contain {name}, can contain {kind}, and otherwise letters, digits, '.', '_' and '-'"
            )
        return template


class SqliteLogSettings(Section):
    """Log in one local file, for one process."""

    path: Path = Path("data/streamer.db")
    retention_h: float = Field(default=7 * 24, gt=0)
    max_bytes: int = Field(
        default=10 * 1024**3, ge=1024**2, description="ingest waits when the file is this large"
    )
    group_commit_events: int = Field(default=5_000, ge=1)


class LogSettings(Section):
    """Choice of the log: `kafka`, or `sqlite` (the default)."""

    kafka: KafkaLogSettings | None = None
    sqlite: SqliteLogSettings | None = None

    @model_validator(mode="after")
    def _one_log(self) -> Self:
        if self.kafka and self.sqlite:
            raise ValueError("choose one of kafka and sqlite")
        return self


class RetrySettings(Section):
    """Limits of the retries of a delivery."""

    first_delay_s: float = Field(default=1.0, gt=0)
    max_delay_s: float = Field(default=_HOUR_S, gt=0)
    give_up_after_s: float = Field(
        default=24 * _HOUR_S,
        gt=0,
        description="how long an event is tried, on average; times without attempts do not count",
    )
    fast_tries: int = Field(
        default=3, ge=0, le=20, description="retries from memory, before the key is parked in the log"
    )


class RateSettings(Section):
    """Highest rate of attempts at a target."""

    per_second: float = Field(gt=0)
    burst: int = Field(default=1, ge=1)


class BreakerSettings(Section):
    """Limits of the circuit breaker: when it opens, and when it probes the target."""

    failure_ratio: float = Field(default=0.7, gt=0, le=1, description="of the attempts in the window")
    minimum: int = Field(default=10, ge=1, description="attempts in the window, below which it never opens")
    window: int = Field(default=50, ge=1, le=10_000, description="number of the latest attempts that count")
    window_s: float = Field(default=300.0, gt=0, description="age up to which these count")
    open_s: float = Field(default=5.0, gt=0, description="until the first probe; doubles after each failure")
    max_open_s: float = Field(default=60.0, gt=0)


class GuardSettings(Section):
    """Limits of the flood guard: numbers of dead letters that pause a subscriber."""

    consecutive: int = Field(default=50, ge=1)
    ratio: float = Field(default=0.5, gt=0, le=1)
    window: int = Field(default=200, ge=1, le=100_000, description="number of events for the ratio")
    minimum: int = Field(default=100, ge=1, description="events in the window, below which it never pauses")


class SubscriberSettings(Section):
    """Consumer of the log that delivers to one target."""

    uses: str = Field(description="the plugin: slack, erp, fulfillment, or one that you installed")
    on: Annotated[tuple[str, ...], BeforeValidator(lambda v: (v,) if isinstance(v, str) else v)] = Field(
        min_length=1, description="event types, with * for any run of characters"
    )
    when: str | None = Field(default=None, description="a JMESPath predicate over the event")
    body: Any = Field(default=None, description="a JMESPath projection: an expression, or a mapping of them")
    keep_null: bool = Field(
        default=False, description="true: body sends null for a field that the event does not carry"
    )
    text: str | None = Field(default=None, description="a Jinja2 template for people")
    strict: bool = Field(
        default=False, description="true: text fails on a field that the event does not carry"
    )
    start: Start | datetime = Start.LATEST
    settings: dict[str, Any] = Field(default_factory=dict, description="the plugin's own")
    order: Literal["key", "partition", "none"] = Field(
        default="key", description="which events wait for each other"
    )
    retry: RetrySettings = RetrySettings()
    rate: RateSettings | None = None
    breaker: BreakerSettings = BreakerSettings()
    guard: GuardSettings = GuardSettings()
    receipts: bool = Field(default=False, description="true: the log keeps the answer to each delivery")
    max_in_flight: int = Field(
        default=32, ge=1, le=10_000, description="most keys delivered at once; adapts to the target"
    )
    max_waiting: int = Field(default=2_000, ge=1, description="events held in memory; reading pauses above")
    max_waiting_bytes: int = Field(default=16 * 1024**2, ge=1024, description="size of these in memory")
    max_parked: int = Field(
        default=100_000, ge=1, description="parked events of one partition; reading it pauses above"
    )
    deliver_timeout_s: float = Field(default=30.0, gt=0)


class ObserveSettings(Section):
    """Metrics, probes and logs."""

    host: str = "0.0.0.0"  # noqa: S104 - probes and Prometheus come from other hosts
    port: int = Field(default=9464, ge=0, le=65535)
    log_format: Literal["auto", "json", "console"] = "auto"
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    stuck_after_s: float = Field(
        default=120.0,
        ge=1,
        description="liveness fails when possible work has not moved on for this long; raised automatically "
        "above the times that log.kafka.append_deadline_s and a subscriber's deliver_timeout_s allow",
    )


class AdminSettings(Section):
    """Admin API, by which operators switch subscribers and redrive dead letters."""

    host: str = Field(default="127.0.0.1", description="loopback; anything else needs a token")
    port: int = Field(default=9465, ge=0, le=65535, description="0 takes a free port, which is logged")
    token: SecretStr | None = Field(
        default=None, min_length=16, description="sent by each request as Authorization: Bearer …"
    )

    @model_validator(mode="after")
    def _other_machines_need_a_token(self) -> Self:
        if self.token is None and not is_loopback(self.host):
            raise ValueError(
                "other machines can reach this host, so set a token of 16 characters or more, "
                "or leave host at 127.0.0.1"
            )
        return self


class Settings(Section):
    """Configuration of one daemon."""

    org: OrgSettings
    channels: tuple[Annotated[ChannelSettings, BeforeValidator(_from_path)], ...]
    log: LogSettings = LogSettings()
    subscribers: dict[
        Annotated[SubscriberName, Field(pattern=r"^[a-z][a-z0-9-]{0,62}$")], SubscriberSettings
    ] = Field(default_factory=dict)
    observe: ObserveSettings = ObserveSettings()
    admin: AdminSettings | None = Field(default=AdminSettings(), description="null switches it off")
    grace_period_s: float = Field(
        default=25.0, gt=0, description="time for which a stop drains before it cancels deliveries"
    )

    @field_validator("channels")
    @classmethod
    def _are_unique(cls, channels: tuple[ChannelSettings, ...]) -> tuple[ChannelSettings, ...]:
        # Not min_length: pydantic counts only the valid ones, and adds that mistake to each invalid one.
        if not channels:
            raise ValueError("name at least one channel, such as /data/ChangeEvents")
        paths = [channel.path for channel in channels]
        repeated = sorted({path for path in paths if paths.count(path) > 1})
        if repeated:
            raise ValueError(f"named more than once: {', '.join(repeated)}")
        return channels
