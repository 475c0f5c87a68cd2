"""Settings of the Slack plugin."""

from collections.abc import Mapping
from typing import Self

from pydantic import Field, SecretStr, model_validator

from subscribers.http import Auth, BearerAuth, HttpSettings, NoAuth, checked_secret


class SlackSettings(HttpSettings):
    """Settings of a channel: either `webhook_url`, or `token` and `channel`."""

    webhook_url: SecretStr | None = Field(
        default=None, description="address of an incoming webhook; a webhook posts to one fixed channel"
    )
    token: SecretStr | None = Field(
        default=None, description="token of an app with the scope chat:write (xoxb-…)"
    )
    channel: str | None = Field(default=None, description="the channel's id, or its name with #")
    api_url: str = Field(default="https://slack.com/api", description="address of Slack's Web API")
    blocks: bool = Field(
        default=True, description="true: messages with blocks; false: messages with plain text only"
    )
    record_url: str | None = Field(
        default=None,
        description=(
            "address of a record, for the link in a message, such as https://acme.lightning.force.com/{id}"
        ),
    )
    interval_s: float = Field(
        default=1.0,
        ge=0,
        le=60,
        description="shortest time between two messages to a channel; Slack allows one message a second",
    )

    @model_validator(mode="after")
    def _names_one_method(self) -> Self:
        if (self.webhook_url is None) == (self.token is None):
            raise ValueError("set either webhook_url, or token and channel")
        if self.token is not None and not self.channel:
            raise ValueError("channel is missing: a token needs a channel")
        if self.webhook_url is not None and self.channel:
            raise ValueError(
                "channel has no effect with webhook_url, because the webhook has a fixed channel: "
                "remove channel"
            )
        return self

    @model_validator(mode="after")
    def _urls_are_safe(self) -> Self:
        if self.webhook_url is not None:
            checked_secret("webhook_url", self.webhook_url)
        if self.token is not None:
            checked_secret("token", self.token)
        self.check_urls()
        return self

    @property
    def urls(self) -> Mapping[str, str]:
        """Addresses of the API and of the webhook."""
        webhook = {"webhook_url": self.webhook_url.get_secret_value()} if self.webhook_url else {}
        return {"api_url": self.api_url, **webhook}

    @property
    def auth(self) -> Auth:
        """Authentication at the API; a webhook has none besides its URL."""
        return NoAuth() if self.token is None else BearerAuth(kind="bearer", token=self.token)

    @model_validator(mode="after")
    def _link_holds_the_id(self) -> Self:
        if self.record_url is not None and "{id}" not in self.record_url:
            raise ValueError("record_url must contain {id}, which is replaced by the record's id")
        return self
