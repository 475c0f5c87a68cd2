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
        description="objects, platform events, PushTopics and generic channels, as data.entity names them, "
        "with * for any run of characters; one, or a list",
    )
    on: Annotated[tuple[str, ...] | None, one_or_more()] = Field(
        default=None,
        examples=["salesforce.outbound.*"],
        description="event types instead of entity, with * for any run of characters; one, or a list",
    )
    fields: Annotated[tuple[str, ...], one_or_more()] = Field(
        default=(),
        examples=[["Email", "Phone"]],
        description="names of fields, with * for any run of characters; a compound field stands for its "
        "parts, and a part is MailingAddress.City or MailingCity; one, or a list",
    )
    data: Annotated[tuple[_OtherData, ...], one_or_more(_OtherData)] = Field(
        default=(),
        description="other values in the data of an event: payload (all of a generic event), "
        "transaction.user, transaction.origin and transaction.commit_number (of a change), action_id (of "
        "an outbound message); one, or a list",
    )
    how: How = Field(
        description="drop (the event has neither the value nor the name), mask (a fixed text), hash "
        "(HMAC-SHA-256 with protection.key, the same for equal values) or keep (as it is, whatever later "
        "rules say)"
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
        description="mask: characters at the end that stay; none of a value of less than twice as many",
    )
    keep_length: bool = Field(
        default=False, description="mask: true: one * for each hidden character, which tells the length"
    )
    normalise: Annotated[tuple[_Step, ...], one_or_more(_Step)] = Field(
        default=(),
        description="hash: what is done first, so that like values have one hash: trim (white space at both "
        "ends) and lower (small letters); one, or a list",
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
        description="secret of how: hash, 32 characters or more, such as `openssl rand -hex 32` writes",
    )
    key_id: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z0-9_-]{1,32}$",
        description="begins every hash, before a colon, and tells the keys apart; default: eight digits that "
        "follow from the key",
    )
    unreadable: UnreadableBytes = Field(
        default=UnreadableBytes.WITHHOLD,
        description="bytes of a message that can't be read, which can hold protected fields: withhold (its "
        "dead letter has none of them), encrypt (it has them encrypted, with a key that follows from key) or "
        "keep; messages of channels without a rule keep theirs",
    )
