"""Registry of schemas, for events in Avro or JSON Schema."""

from pathlib import Path
from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator

from streamer.settings.section import Section


class RegistryAuth(Section):
    """Credentials for the registry: a user and a password, or a token."""

    username: str | None = Field(default=None, description="user name, or API key, of HTTP's basic scheme")
    password: SecretStr | None = Field(default=None, description="password, or API secret, of the user")
    token: SecretStr | None = Field(default=None, description="bearer token, instead of user and password")

    @model_validator(mode="after")
    def _is_one_kind(self) -> Self:
        has_user = self.username is not None and self.password is not None
        is_part = (self.username is None) != (self.password is None)
        if is_part or has_user == (self.token is not None):
            raise ValueError("must have either username and password, or token")
        return self


class SchemaRegistrySettings(Section):
    """Registry with Confluent's API, which stores the schemas of events."""

    url: str = Field(
        description="address of the registry's API, such as https://registry:8081, or "
        "https://apicurio/apis/ccompat/v7"
    )
    auth: RegistryAuth | None = Field(default=None, description="credentials for the registry")
    ca_file: Path | None = Field(
        default=None,
        description="file with the certificate authorities that Streamer trusts, PEM; default: the system's",
    )
    timeout_s: float = Field(default=10.0, gt=0, description="time-out of a request to the registry")
    register_schemas: bool = Field(
        default=True,
        description="true: Streamer registers new schemas; false: Streamer only looks schemas up, and an "
        "operator registers them",
    )
    subjects: Literal["topic", "record", "topic-record"] = Field(
        default="topic",
        description="name of a schema's subject: the topic and -value, the full name of the record, or the "
        "topic and the name of the record",
    )
    id_in: Literal["value", "header"] = Field(
        default="value",
        description="place of a schema's id: five bytes before the value, as Confluent's clients expect, or "
        "the header schema-id",
    )
    compatibility: Literal[
        "backward",
        "backward-transitive",
        "forward",
        "forward-transitive",
        "full",
        "full-transitive",
        "none",
        "registry",
    ] = Field(
        default="backward",
        description="compatibility that Streamer sets for a new subject; registry leaves the registry's own "
        "setting",
    )
    on_incompatible: Literal["stop", "new-topic"] = Field(
        default="stop",
        description="reaction to a schema that the registry refuses as incompatible: stop the channel, or "
        "continue in the topic with the next version, such as salesforce.cdc.Account.v2",
    )
    numbers: Literal["double", "decimal", "string"] = Field(
        default="double",
        description="form of numbers, currencies and percentages in Avro: double (an event with a number "
        "that a double can't hold becomes a dead letter), decimal (with the precision and scale of the "
        "field) or string",
    )

    @field_validator("url")
    @classmethod
    def _is_an_address(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.username is not None or parts.password is not None:
            raise ValueError("must not contain a user or a password: write them in auth")
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
            raise ValueError("must be a URL such as https://registry:8081")
        return url.rstrip("/")

    @model_validator(mode="after")
    def _has_topics_with_versions(self) -> Self:
        if self.on_incompatible == "new-topic" and self.subjects == "record":
            raise ValueError(
                "on_incompatible: new-topic needs subjects: topic or topic-record, because all topics share "
                "the subject of a record"
            )
        return self
