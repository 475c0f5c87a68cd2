"""Operation: metrics, probes, logs, the admin API, the console, and comparisons with the org."""

from typing import Annotated, Literal, Self

from pydantic import Field, SecretStr, field_validator, model_validator

from streamer.settings.section import Section, optional_section
from streamer.web.addresses import is_loopback


class ObserveSettings(Section):
    """Metrics, probes and logs."""

    host: str | None = Field(
        default=None,
        examples=["0.0.0.0"],  # noqa: S104 - an operator opens it on purpose
        description="address at which Streamer serves /metrics, /healthz and /readyz; default: all "
        "addresses in a container, 127.0.0.1 elsewhere",
    )
    port: int = Field(
        default=9464,
        ge=0,
        le=65535,
        description="port to listen on; 0 takes a free port, which the daemon logs at its start",
    )
    log_format: Literal["auto", "json", "console"] = Field(
        default="auto",
        description="form of log lines; auto means readable lines on a terminal, and JSON elsewhere",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="lowest level of the log lines that the daemon writes"
    )
    stuck_after_s: float = Field(
        default=120.0,
        ge=1,
        description=(
            "time after which /healthz reports a part that has work but makes no progress; Streamer uses a "
            "longer time if this one is not above log.kafka.append_deadline_s and each subscriber's "
            "deliver_timeout_s"
        ),
    )


# Browsers and proxies use these headers for other things than a person's name.
_NOT_NAMES = ("authorization", "cookie", "forwarded", "host", "origin", "referer")
_ANCESTOR = r"^https://(\*\.)?[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*(:[0-9]{1,5})?$"

_CONSOLE = r"^https?://[A-Za-z0-9.:\[\]-]+(/[A-Za-z0-9._~/-]*)?$"


class ConsoleSettings(Section):
    """Web console, at /console of the admin API's address."""

    enabled: bool = Field(
        default=True, description="true: the daemon serves the console and the API; false: only the API"
    )
    session_s: float = Field(
        default=28_800.0,
        ge=60,
        le=604_800,
        description="duration of a session, after which an operator must sign in again",
    )
    trusted_header: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z][A-Za-z0-9-]{0,63}$",
        description="header in which a proxy sends the name of its signed-in user, such as "
        "X-Auth-Request-Email; Streamer trusts this header only in requests that carry "
        "admin.token as Authorization: Bearer …",
    )
    frame_ancestors: tuple[Annotated[str, Field(pattern=_ANCESTOR)], ...] = Field(
        default=(),
        max_length=20,
        description="sites that can show the console in a frame, such as "
        "https://acme.lightning.force.com; if a site is named, operators must open the "
        "console over HTTPS",
    )

    others: tuple[Annotated[str, Field(pattern=_CONSOLE, max_length=500)], ...] = Field(
        default=(),
        max_length=50,
        description="addresses of the consoles of the other processes that share the log in Kafka, "
        "such as https://streamer-1.example.com/console; the pages link to them",
    )

    @field_validator("trusted_header")
    @classmethod
    def _holds_a_name(cls, header: str | None) -> str | None:
        if header is not None and header.lower() in _NOT_NAMES:
            raise ValueError(
                "this header has another meaning: use the header in which your proxy sends the user's name"
            )
        return header


class AdminSettings(Section):
    """Admin API, with which operators control subscribers, dead letters and channels."""

    host: str = Field(
        default="127.0.0.1",
        description="address at which the API listens; any address except loopback needs a token",
    )
    port: int = Field(
        default=9465,
        ge=0,
        le=65535,
        description="port to listen on; 0 takes a free port, which the daemon logs at its start",
    )
    token: SecretStr | None = Field(
        default=None,
        min_length=16,
        description="token that each request must send, as Authorization: Bearer …",
    )
    reader_token: SecretStr | None = Field(
        default=None,
        min_length=16,
        description=(
            "second token, for readers: it allows all pages and all GET requests to the API, but no changes"
        ),
    )
    console: ConsoleSettings = optional_section("web console for operators")

    @model_validator(mode="after")
    def _other_machines_need_a_token(self) -> Self:
        if self.token is None and not is_loopback(self.host):
            raise ValueError(
                "other machines can reach this host, so set a token of 16 characters or more, "
                "or leave host at 127.0.0.1"
            )
        return self

    @model_validator(mode="after")
    def _reader_is_no_operator(self) -> Self:
        if self.reader_token is not None and (self.token is None or self.token == self.reader_token):
            raise ValueError("reader_token needs a different token for operators who make changes: set token")
        return self

    @model_validator(mode="after")
    def _names_of_a_proxy_need_a_token(self) -> Self:
        if self.console.trusted_header is not None and self.token is None:
            raise ValueError(
                "console.trusted_header needs a token, because any client can send the header: set "
                "token, and let the proxy send the token as Authorization: Bearer …"
            )
        return self


_UNITS_S = {"m": 60.0, "h": 3_600.0, "d": 86_400.0}
_LEAST_S, _MOST_S = 3_600.0, 7 * 86_400.0


EntityName = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]{0,79}$")]
"""API name of an object."""


class StateSettings(Section):
    """States of records: whole records, made from change events."""

    objects: tuple[EntityName, ...] = Field(
        min_length=1, max_length=200, description="API names of the objects whose records have states"
    )

    @field_validator("objects")
    @classmethod
    def _are_unique(cls, objects: tuple[str, ...]) -> tuple[str, ...]:
        if repeated := sorted({each for each in objects if objects.count(each) > 1}):
            raise ValueError(f"must not name an object more than once: {', '.join(repeated)}")
        return objects


class ReconcileSettings(Section):
    """Comparisons of the org with the log."""

    entities: tuple[EntityName, ...] = Field(
        min_length=1, max_length=200, description="API names of the objects to compare"
    )
    every: str = Field(
        default="24h",
        pattern=r"^[1-9][0-9]{0,4}[mhd]$",
        description="time between two comparisons of an object, such as 90m, 24h or 2d; from 1h to 7d",
    )

    @property
    def every_s(self) -> float:
        """Time between two comparisons, in seconds."""
        return _seconds(self.every)

    @field_validator("every")
    @classmethod
    def _is_sensible(cls, every: str) -> str:
        if not _LEAST_S <= _seconds(every) <= _MOST_S:
            raise ValueError("must be a time from 1h to 7d")
        return every


def _seconds(every: str) -> float:
    return int(every[:-1]) * _UNITS_S[every[-1]]
