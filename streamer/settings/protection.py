"""Protection: fields that Streamer drops, masks or hashes before it stores an event."""

import re
from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import Field, SecretStr, field_validator, model_validator

from streamer.settings.section import Section, one_or_more

MASK_TEXT = "***"
"""Default text of a masked value."""

_ENTITY = re.compile(r"[\w*]{1,255}", re.ASCII)
_TYPE = re.compile(r"[\w.*]{1,255}", re.ASCII)
# A generic event's data can have members of any name.
_FIELD = re.compile(r"[^\s\x00-\x1f](?:[^\x00-\x1f]{0,253}[^\s\x00-\x1f])?")

_OtherData = Literal[
    "payload", "transaction.user", "transaction.origin", "transaction.commit_number", "action_id"
]

_Step = Literal["trim", "lower"]


class How(StrEnum):
    """Treatment of the fields of a rule."""

    DROP = "drop"
    """The event loses the field, including its name."""
    MASK = "mask"
    """A fixed text replaces the value."""
    HASH = "hash"
    """A keyed hash replaces the value; equal values have equal hashes."""
    KEEP = "keep"
    """The value stays, even if a later rule matches."""


class UnreadableBytes(StrEnum):
    """Treatment of an unreadable message's bytes, in which Streamer can't find fields."""

    WITHHOLD = "withhold"
    """The dead letter has no bytes."""
    ENCRYPT = "encrypt"
    """The dead letter has encrypted bytes."""
    KEEP = "keep"
    """The dead letter has the bytes, including protected fields."""


class ProtectRule(Section):
    """Selects fields of entities, and decides their treatment.

    For each field, the first matching rule counts.
    """

    entity: Annotated[tuple[str, ...] | None, one_or_more()] = Field(
        default=None,
        examples=["Contact"],
        description=(
            "name, or list of names, of objects, platform events, PushTopics or generic channels, as in "
            "data.entity; * stands for any characters"
        ),
    )
    on: Annotated[tuple[str, ...] | None, one_or_more()] = Field(
        default=None,
        examples=["salesforce.outbound.*"],
        description="event type, or list of event types, instead of entity; * stands for any characters",
    )
    fields: Annotated[tuple[str, ...], one_or_more()] = Field(
        default=(),
        examples=[["Email", "Phone"]],
        description=(
            "name, or list of names, of fields; * stands for any characters; the name of a compound "
            "field stands for all its parts; write one part as MailingAddress.City or MailingCity"
        ),
    )
    data: Annotated[tuple[_OtherData, ...], one_or_more(_OtherData)] = Field(
        default=(),
        description="name, or list of names, of other values in an event's data: payload (all of a generic "
        "event), transaction.user, transaction.origin and transaction.commit_number (of a change), "
        "action_id (of an outbound message)",
    )
    how: How = Field(
        description=(
            "treatment of the values: drop (removes the field's name and value), mask (replaces the "
            "value with a fixed text), hash (HMAC-SHA-256 with protection.key; equal values have equal "
            "hashes) or keep (leaves the field unchanged, even if a later rule matches)"
        )
    )
    text: str | None = Field(
        default=None,
        min_length=1,
        max_length=64,
        description=f"for mask: text that replaces the value; default: {MASK_TEXT}",
    )
    keep_last: int = Field(
        default=0,
        ge=0,
        le=16,
        description=(
            "for mask: number of visible characters at the end; a value shorter than twice this number is "
            "hidden completely"
        ),
    )
    keep_length: bool = Field(
        default=False,
        description=(
            "for mask: true writes one * for each hidden character, so that the value's length stays visible"
        ),
    )
    normalise: Annotated[tuple[_Step, ...], one_or_more(_Step)] = Field(
        default=(),
        description=(
            "for hash: changes to a value before it is hashed, so that similar values get the same hash: "
            "trim (removes white space at both ends), lower (makes letters lower case), or a list of both"
        ),
    )

    @field_validator("entity")
    @classmethod
    def _are_entities(cls, entity: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if entity is not None and not all(map(_ENTITY.fullmatch, entity)):
            raise ValueError(
                "must be names such as Contact, Invoice__c, Order_Placed__e or the last part of a "
                "channel's path; * stands for any characters"
            )
        return entity

    @field_validator("on")
    @classmethod
    def _are_types(cls, on: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if on is not None and not all(map(_TYPE.fullmatch, on)):
            raise ValueError(
                "must be event types such as salesforce.cdc.Contact.*; * stands for any characters"
            )
        return on

    @field_validator("fields")
    @classmethod
    def _are_fields(cls, fields: tuple[str, ...]) -> tuple[str, ...]:
        for name in fields:
            if not _FIELD.fullmatch(name):
                raise ValueError(
                    "must be names such as Email, MailingAddress.City or *Phone*, without white space "
                    "at the ends"
                )
            if name.startswith("data.fields."):
                raise ValueError(
                    f"must not begin with data.fields: write {name.removeprefix('data.fields.')}"
                )
        return fields

    @model_validator(mode="after")
    def _names_something(self) -> Self:
        if (self.entity is None) == (self.on is None):
            raise ValueError(
                "needs either entity or on, such as entity: Contact, or entity: '*' for all entities"
            )
        if not (self.entity or self.on):
            raise ValueError("names no entity: to protect all entities, write entity: '*'")
        if not (self.fields or self.data):
            raise ValueError("names no field: write fields: [Email, Phone], or data: transaction.user")
        return self

    @model_validator(mode="after")
    def _options_fit(self) -> Self:
        options = {"text": self.text, "keep_last": self.keep_last, "keep_length": self.keep_length}
        if self.how is not How.MASK and (named := [name for name, value in options.items() if value]):
            raise ValueError(f"{named[0]} has an effect only with how: mask, but how is {self.how}")
        if self.how is not How.HASH and self.normalise:
            raise ValueError(f"normalise has an effect only with how: hash, but how is {self.how}")
        if self.keep_length and self.text is not None:
            raise ValueError(
                "keep_length writes one * for each character, so text has no effect: remove text"
            )
        return self


class ProtectionSettings(Section):
    """Key of the hashes, and the treatment of unreadable messages."""

    key: SecretStr | None = Field(
        default=None,
        min_length=32,
        description=(
            "secret for hashes, and for encrypted messages; at least 32 characters, for example the "
            "output of `openssl rand -hex 32`"
        ),
    )
    key_id: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z0-9_-]{1,32}$",
        description=(
            "name of the key; each hash begins with this name and a colon, so that you can see which key "
            "made the hash; default: eight digits derived from the key"
        ),
    )
    unreadable: UnreadableBytes = Field(
        default=UnreadableBytes.WITHHOLD,
        description=(
            "bytes of an unreadable message in its dead letter, which can hold protected fields: "
            "withhold (the dead letter has no bytes), encrypt (it has the bytes, encrypted with a key "
            "derived from key) or keep (it has the bytes); in channels without a rule, a dead letter "
            "always has the bytes"
        ),
    )
