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
from streamer.web.proxy import is_proxy_setting

_HOUR_S = 3600.0

_FLOW = "kind of the login"
_CLIENT_ID = "the connected app's consumer key"
_CLIENT_SECRET = "the connected app's consumer secret"  # noqa: S105 - a description


class Section(BaseModel):
    """Part of the configuration: frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class JwtAuth(Section):
    """OAuth 2 JWT bearer: a connected app with a certificate, approved for the user in advance."""

    flow: Literal["jwt"] = Field(description=_FLOW)
    client_id: str = Field(description=_CLIENT_ID)
    username: str = Field(description="the user as whom Streamer reads the org")
    key: SecretStr = Field(description="RSA private key, PEM; usually {file: /run/secrets/…}")
    audience: str | None = Field(default=None, description="aud claim; default: login or test.salesforce.com")


class ClientCredentialsAuth(Section):
    """OAuth 2 client credentials: needs the org's My Domain URL and a run-as user of the app."""

    flow: Literal["client_credentials"] = Field(description=_FLOW)
    client_id: str = Field(description=_CLIENT_ID)
    client_secret: SecretStr = Field(description=_CLIENT_SECRET)


class RefreshAuth(Section):
    """Refresh token that was issued before."""

    flow: Literal["refresh"] = Field(description=_FLOW)
    client_id: str = Field(description=_CLIENT_ID)
    client_secret: SecretStr | None = Field(
        default=None, description="the connected app's consumer secret, if the app requires it"
    )
    refresh_token: SecretStr = Field(description="the refresh token")


class PasswordAuth(Section):
    """Username, and password with the security token appended; Salesforce is retiring this flow."""

    flow: Literal["password"] = Field(description=_FLOW)
    client_id: str = Field(description=_CLIENT_ID)
    client_secret: SecretStr = Field(description=_CLIENT_SECRET)
    username: str = Field(description="the user as whom Streamer reads the org")
    password: SecretStr = Field(description="the user's password with the security token appended")


Auth = Annotated[
    JwtAuth | ClientCredentialsAuth | RefreshAuth | PasswordAuth,
    Field(discriminator="flow"),
]


class OrgSettings(Section):
    """Address of the org, and the credentials for it."""

    login_url: str = Field(
        description="My Domain URL, login.salesforce.com, test.salesforce.com or any server"
    )
    auth: Auth = Field(description="the credentials for the org")
    api_version: str = Field(
        default="64.0",
        pattern=r"^\d{2,3}\.0$",
        examples=['"64.0"'],
        description="version of Salesforce's API, in quotes",
    )
    allow_http: bool = Field(default=False, description="allow plain http to hosts other than loopback")
    instance_hosts: frozenset[str] = Field(
        default=frozenset(),
        description="hosts outside of the site of login_url to which a login may send us",
    )
    proxy: SecretStr | None = Field(
        default=None,
        examples=["http://proxy.acme.com:3128"],
        description="proxy to Salesforce: http://host:port, http://user:password@host:port, or direct "
        "for none; default: HTTPS_PROXY, HTTP_PROXY and NO_PROXY of the environment decide",
    )

    @field_validator("proxy")
    @classmethod
    def _is_a_proxy(cls, proxy: SecretStr | None) -> SecretStr | None:
        if proxy is not None and not is_proxy_setting(proxy.get_secret_value()):
            raise ValueError(
                "must look like http://proxy.acme.com:3128 or http://user:password@proxy.acme.com:3128, "
                "or be direct"
            )
        return proxy

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

    path: str = Field(
        description="/data/ChangeEvents, /data/AccountChangeEvent, /event/Order_Placed__e and their like"
    )
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

    protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        default="PLAINTEXT",
        description="SSL encrypts, SASL logs in; brokers on other machines need SSL or SASL_SSL",
    )
    mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] | None = Field(
        default=None, description="how a SASL protocol logs in"
    )
    username: str | None = Field(default=None, description="of the SASL login")
    password: SecretStr | None = Field(default=None, description="of the SASL login")
    ca_file: Path | None = Field(
        default=None, description="PEM; default: the system's certificate authorities"
    )
    certificate_file: Path | None = Field(default=None, description="client certificate for mTLS, PEM")
    key_file: Path | None = Field(default=None, description="its private key, PEM")
    key_password: SecretStr | None = Field(default=None, description="password of the private key")

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
    security: KafkaSecurity = Field(
        default=KafkaSecurity(), description="encryption and authentication between Streamer and the brokers"
    )
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
    group_commit_events: int = Field(
        default=5_000,
        ge=1,
        description="most events of waiting batches that one transaction commits together",
    )
    group_commit_bytes: int = Field(default=8 * 1024 * 1024, ge=1024, description="most bytes of these")
    append_deadline_s: float = Field(
        default=20.0, gt=0, description="time in which an append is retried, before the channel begins anew"
    )
    transaction_timeout_s: float = Field(
        default=30.0, gt=0, description="age at which the broker aborts a transaction that has not ended"
    )
    session_timeout_s: float = Field(
        default=6.0, gt=0, description="silence after which the other processes take over from one"
    )
    options: dict[str, str | int | float | bool] = Field(
        default_factory=dict,
        description="any librdkafka setting by its own name, for every client, unless a key of ours sets it",
    )

    @field_validator("bootstrap_servers")
    @classmethod
    def _holds_no_credentials(cls, servers: str) -> str:
        if "@" in servers:
            raise ValueError("must not contain a user or a password: they belong to log.kafka.security")
        return servers

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

    path: Path = Field(default=Path("data/streamer.db"), description="the file; it is made if missing")
    retention_h: float = Field(
        default=7 * 24.0, gt=0, description="age up to which events and receipts that are done with are kept"
    )
    max_bytes: int = Field(
        default=10 * 1024**3, ge=1024**2, description="ingest waits when the file is this large"
    )
    group_commit_events: int = Field(
        default=5_000,
        ge=1,
        description="most events of waiting batches that one transaction commits together",
    )


class LogSettings(Section):
    """Choice of the log: `kafka`, or `sqlite` (the default)."""

    kafka: KafkaLogSettings | None = Field(default=None, description="log in Kafka, for many processes")
    sqlite: SqliteLogSettings | None = Field(
        default=None, description="log in one local file, for one process; the default"
    )

    @model_validator(mode="after")
    def _one_log(self) -> Self:
        if self.kafka and self.sqlite:
            raise ValueError("choose one of kafka and sqlite")
        return self


class RetrySettings(Section):
    """Limits of the retries of a delivery."""

    first_delay_s: float = Field(
        default=1.0, gt=0, description="longest delay before the first retry; doubles with each further one"
    )
    max_delay_s: float = Field(default=_HOUR_S, gt=0, description="longest delay before any retry")
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

    per_second: float = Field(gt=0, description="in each process")
    burst: int = Field(default=1, ge=1, description="attempts that can go out at once after a pause")


class BreakerSettings(Section):
    """Limits of the circuit breaker: when it opens, and when it probes the target."""

    failure_ratio: float = Field(
        default=0.7, gt=0, le=1, description="share of failed attempts in the window at which it opens"
    )
    minimum: int = Field(default=10, ge=1, description="attempts in the window, below which it never opens")
    window: int = Field(default=50, ge=1, le=10_000, description="number of the latest attempts that count")
    window_s: float = Field(default=300.0, gt=0, description="age up to which these count")
    open_s: float = Field(default=5.0, gt=0, description="until the first probe; doubles after each failure")
    max_open_s: float = Field(default=15.0, gt=0, description="longest time between two probes")


class GuardSettings(Section):
    """Limits of the flood guard: numbers of dead letters that pause a subscriber."""

    consecutive: int = Field(default=50, ge=1, description="dead letters without a delivery in between")
    ratio: float = Field(
        default=0.5, gt=0, le=1, description="share of dead letters among the events in the window"
    )
    window: int = Field(default=200, ge=1, le=100_000, description="number of events for the ratio")
    minimum: int = Field(default=100, ge=1, description="events in the window, below which it never pauses")


class SubscriberSettings(Section):
    """Consumer of the log that delivers to one target."""

    uses: str = Field(description="the plugin: slack, erp, fulfillment, or another that is installed")
    on: Annotated[
        tuple[str, ...],
        BeforeValidator(
            lambda v: (v,) if isinstance(v, str) else v, json_schema_input_type=str | tuple[str, ...]
        ),
    ] = Field(min_length=1, description="event types, with * for any run of characters; one, or a list")
    when: str | None = Field(default=None, description="a JMESPath predicate over the event")
    body: Any = Field(default=None, description="a JMESPath projection: an expression, or a mapping of them")
    keep_null: bool = Field(
        default=False, description="true: body sends null for a field that the event does not carry"
    )
    text: str | None = Field(default=None, description="a Jinja2 template for people")
    strict: bool = Field(
        default=False, description="true: text fails on a field that the event does not carry"
    )
    start: Start | datetime = Field(
        default=Start.LATEST,
        description="where a new subscriber begins in the log: latest (with new events), earliest, or a time",
    )
    settings: dict[str, Any] = Field(default_factory=dict, description="the plugin's own settings")
    order: Literal["key", "partition", "none"] = Field(
        default="key",
        description="which events wait for each other: those of a key, those of a partition, or none",
    )
    retry: RetrySettings = Field(default=RetrySettings(), description="limits of the retries of a delivery")
    rate: RateSettings | None = Field(
        default=None, description="highest rate of attempts at the target; default: no limit"
    )
    breaker: BreakerSettings = Field(
        default=BreakerSettings(), description="when deliveries stop because the target is down"
    )
    guard: GuardSettings = Field(
        default=GuardSettings(), description="how many dead letters pause the subscriber"
    )
    receipts: bool = Field(default=False, description="true: the log keeps the answer to each delivery")
    max_in_flight: int = Field(
        default=32, ge=1, le=10_000, description="most keys delivered at once; adapts to the target"
    )
    max_waiting: int = Field(default=2_000, ge=1, description="events held in memory; reading pauses above")
    max_waiting_bytes: int = Field(default=16 * 1024**2, ge=1024, description="size of these in memory")
    max_parked: int = Field(
        default=100_000, ge=1, description="parked events of one partition; reading it pauses above"
    )
    deliver_timeout_s: float = Field(
        default=30.0, gt=0, description="time after which an attempt is cancelled, and retried later"
    )


class ObserveSettings(Section):
    """Metrics, probes and logs."""

    host: str = Field(
        default="0.0.0.0",  # noqa: S104 - probes and Prometheus come from other hosts
        description="address at which /metrics, /healthz and /readyz are served",
    )
    port: int = Field(default=9464, ge=0, le=65535, description="0 takes a free port, which is logged")
    log_format: Literal["auto", "json", "console"] = Field(
        default="auto", description="auto: readable lines on a terminal, JSON elsewhere"
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="the least severe lines that are logged"
    )
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

    org: OrgSettings = Field(description="address of the org, and the credentials for it")
    channels: tuple[
        Annotated[ChannelSettings, BeforeValidator(_from_path, json_schema_input_type=str | ChannelSettings)],
        ...,
    ] = Field(description="what to read: paths, or sections with a path; at least one")
    log: LogSettings = Field(default=LogSettings(), description="where events are kept")
    subscribers: dict[
        Annotated[SubscriberName, Field(pattern=r"^[a-z][a-z0-9-]{0,62}$")], SubscriberSettings
    ] = Field(default_factory=dict, description="who gets the events, by name")
    observe: ObserveSettings = Field(default=ObserveSettings(), description="metrics, probes and logs")
    admin: AdminSettings | None = Field(
        default=AdminSettings(), description="API for operators; null switches it off"
    )
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
