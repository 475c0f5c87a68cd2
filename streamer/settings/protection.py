"""Protection: fields that are dropped, masked or hashed before anything is stored."""

import re
from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import Field, SecretStr, field_validator, model_validator

from streamer.settings.section import Section, one_or_more

MASK_TEXT = "***"
"""Text instead of a masked value, unless a rule names another."""

_ENTITY = re.compile(r"[\w*]{1,255}", re.ASCII)
_TYPE = re.compile(r"[\w.*]{1,255}", re.ASCII)
# A member of a generic event can have any name.
_FIELD = re.compile(r"[^\s\x00-\x1f](?:[^\x00-\x1f]{0,253}[^\s\x00-\x1f])?")

_OtherData = Literal[
    "payload", "transaction.user", "transaction.origin", "transaction.commit_number", "action_id"
]

_Step = Literal["trim", "lower"]


class How(StrEnum):
    """Treatment of the fields of a rule."""

    DROP = "drop"
    """The event does not have the field, nor its name."""
    MASK = "mask"
    """A fixed text stands in for the value."""
    HASH = "hash"
    """A keyed hash stands in for the value: the same for equal values."""
    KEEP = "keep"
    """The value stays, whatever the rules after this one say."""


class UnreadableBytes(StrEnum):
    """Treatment of the bytes of a message in which no field can be found."""

    WITHHOLD = "withhold"
    """The dead letter has none of them."""
    ENCRYPT = "encrypt"
    """The dead letter has them encrypted."""
    KEEP = "keep"
    """The dead letter has all of them, protected fields included."""


class ProtectRule(Section):
    """Fields of some entities, and what becomes of them; the first rule that names a field decides."""

    entity: Annotated[tuple[str, ...] | None, one_or_more()] = Field(
        default=None,
        examples=["Contact"],
        description=(
            "objects, platform events, PushTopics or generic channels, by their name in data.entity, "
            "with * for any characters; one, or a list"
        ),
    )
    on: Annotated[tuple[str, ...] | None, one_or_more()] = Field(
        default=None,
        examples=["salesforce.outbound.*"],
        description="event types, instead of entity, with * for any characters; one, or a list",
    )
    fields: Annotated[tuple[str, ...], one_or_more()] = Field(
        default=(),
        examples=[["Email", "Phone"]],
        description=(
            "names of fields, with * for any characters; a compound field means all of its parts, and"
            " a part is MailingAddress.City or MailingCity; one, or a list"
        ),
    )
    data: Annotated[tuple[_OtherData, ...], one_or_more(_OtherData)] = Field(
        default=(),
        description="other values in the data of an event: payload (all of a generic event), "
        "transaction.user, transaction.origin and transaction.commit_number (of a change), action_id (of "
        "an outbound message); one, or a list",
    )
    how: How = Field(
        description=(
            "drop (removes the field's name and value), mask (replaces the value with a fixed text), "
            "hash (HMAC-SHA-256 with protection.key; equal values have equal hashes) or keep (leaves "
            "the field unchanged, even if a later rule matches)"
        )
    )
    text: str | None = Field(
        default=None,
        min_length=1,
        max_length=64,
        description=f"mask: the text that stands in for the value; default: {MASK_TEXT}",
    )
    keep_last: int = Field(
        default=0,
        ge=0,
        le=16,
        description=(
            "mask: how many characters at the end stay visible; a value shorter than twice this "
            "number shows none"
        ),
    )
    keep_length: bool = Field(
        default=False, description="mask: true: one * for each hidden character, which reveals the length"
    )
    normalise: Annotated[tuple[_Step, ...], one_or_more(_Step)] = Field(
        default=(),
        description=(
            "hash: changes before the hash, so that similar values have the same hash: trim (removes "
            "white space at both ends) and lower (makes letters lower case); one, or a list"
        ),
    )

    @field_validator("entity")
    @classmethod
    def _are_entities(cls, entity: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if entity is not None and not all(map(_ENTITY.fullmatch, entity)):
            raise ValueError(
                "must be names such as Contact, Invoice__c, Order_Placed__e or the last part of a channel's "
                "path, with * for any run of characters"
            )
        return entity

    @field_validator("on")
    @classmethod
    def _are_types(cls, on: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if on is not None and not all(map(_TYPE.fullmatch, on)):
            raise ValueError(
                "must be event types such as salesforce.cdc.Contact.*, with * for any run of characters"
            )
        return on

    @field_validator("fields")
    @classmethod
    def _are_fields(cls, fields: tuple[str, ...]) -> tuple[str, ...]:
        for name in fields:
            if not _FIELD.fullmatch(name):
                raise ValueError(
                    "must be names such as Email, MailingAddress.City or *Phone*, without white space around"
                )
            if name.startswith("data.fields."):
                raise ValueError(f"names begin below data.fields: write {name.removeprefix('data.fields.')}")
        return fields

    @model_validator(mode="after")
    def _names_something(self) -> Self:
        if (self.entity is None) == (self.on is None):
            raise ValueError("needs entity or on, and not both: entity: Contact, or entity: '*' for all")
        if not (self.entity or self.on):
            raise ValueError("names no entity: write entity: '*' for all")
        if not (self.fields or self.data):
            raise ValueError("names no field: write fields: [Email, Phone], or data: transaction.user")
        return self

    @model_validator(mode="after")
    def _options_fit(self) -> Self:
        options = {"text": self.text, "keep_last": self.keep_last, "keep_length": self.keep_length}
        if self.how is not How.MASK and (named := [name for name, value in options.items() if value]):
            raise ValueError(f"{named[0]} is for how: mask, and how is {self.how}")
        if self.how is not How.HASH and self.normalise:
            raise ValueError(f"normalise is for how: hash, and how is {self.how}")
        if self.keep_length and self.text is not None:
            raise ValueError("keep_length writes one * for each character: leave text out")
        return self


class ProtectionSettings(Section):
    """Key of the hashes, and what becomes of messages in which no field can be found."""

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
            "name of the key, which stands before every hash and a colon, and shows which key made "
            "it; default: eight digits derived from the key"
        ),
    )
    unreadable: UnreadableBytes = Field(
        default=UnreadableBytes.WITHHOLD,
        description=(
            "what a dead letter keeps of a message that can't be read, because its bytes can hold "
            "protected fields: withhold (no bytes), encrypt (the bytes, encrypted with a key derived "
            "from key) or keep (the bytes); messages of channels without a rule always keep their "
            "bytes"
        ),
    )
