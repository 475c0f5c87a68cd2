"""Operation: metrics, probes, logs and the admin API."""

from typing import Literal, Self

from pydantic import Field, SecretStr, model_validator

from streamer.settings.section import Section
from streamer.web.loopback import is_loopback


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
