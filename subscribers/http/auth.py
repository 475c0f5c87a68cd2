"""Settings of the kinds of authentication at a target."""

from base64 import b64encode
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

_KIND = "kind of the authentication"


class _Auth(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, defer_build=True)

    @model_validator(mode="after")
    def _secrets_fit_into_headers(self) -> Self:
        for name, value in self:
            if isinstance(value, SecretStr):
                checked_secret(name, value)
        return self


class NoAuth(_Auth):
    """No authentication."""

    kind: Literal["none"] = Field(default="none", description=_KIND)


class ApiKeyAuth(_Auth):
    """Key in its own header, or in the query of the URL."""

    kind: Literal["api_key"] = Field(description=_KIND)
    header: str = Field(
        default="X-API-Key", pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]+$", description="name of the header"
    )
    query: str | None = Field(
        default=None,
        min_length=1,
        description="name of a query parameter that contains the key, instead of a header",
    )
    key: SecretStr = Field(description="value of the header or of the query parameter")

    @model_validator(mode="after")
    def _has_one_place(self) -> Self:
        if self.query is not None and "header" in self.model_fields_set:
            raise ValueError("set only one of header and query, because the key is sent in one place")
        return self


class BasicAuth(_Auth):
    """User and password (RFC 7617)."""

    kind: Literal["basic"] = Field(description=_KIND)
    username: str = Field(
        pattern=r"^[^:\x00-\x1f\x7f]*$", description="name of the user, which must not contain a colon"
    )
    password: SecretStr = Field(description="the user's password")


class BearerAuth(_Auth):
    """Fixed token."""

    kind: Literal["bearer"] = Field(description=_KIND)
    token: SecretStr = Field(description="token that Streamer sends as Authorization: Bearer …")


class OAuth2Auth(_Auth):
    """OAuth 2 client credentials; Streamer fetches a token, and renews it before it expires."""

    kind: Literal["oauth2"] = Field(description=_KIND)
    token_url: str = Field(description="address of the token endpoint")
    client_id: str = Field(description="id of the client at the authorization server")
    client_secret: SecretStr = Field(description="secret of the client")
    scope: str | None = Field(default=None, description="scopes to request, separated by spaces")
    audience: str | None = Field(
        default=None, description="audience to request, if the server has several audiences"
    )
    client_auth: Literal["header", "body"] = Field(
        default="header", description="part of the token request that contains client_id and client_secret"
    )


Auth = Annotated[
    NoAuth | ApiKeyAuth | BasicAuth | BearerAuth | OAuth2Auth,
    Field(discriminator="kind"),
]


def checked_secret(name: str, secret: SecretStr) -> str:
    """Return the value of `secret` if it fits into a header.

    Raises `ValueError`, whose message contains the name of the setting but not the
    secret. Common causes are a line feed at the end of the secret's file, and an empty
    environment variable.
    """
    value = secret.get_secret_value()
    if not value:
        raise ValueError(f"{name} is empty")
    if not value.isprintable() or value != value.strip():
        raise ValueError(
            f"{name} contains a line feed or another control character, or begins or ends with a space"
        )
    return value


def basic(username: str, password: str) -> str:
    """Return the value of a basic `Authorization` header (RFC 7617)."""
    return "Basic " + b64encode(f"{username}:{password}".encode()).decode()
