"""Declared schema, with the keys that a file or a request can have."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

FieldType = Literal[
    "string",
    "textarea",
    "boolean",
    "int",
    "double",
    "currency",
    "percent",
    "date",
    "datetime",
    "reference",
    "picklist",
    "multipicklist",
    "email",
    "phone",
    "url",
]
EventFieldType = Literal["string", "textarea", "boolean", "double", "date", "datetime"]


def _listed(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


def _nothing_is_empty(value: Any) -> Any:
    # In YAML, a key without a value has the value `None`.
    return {} if value is None else value


class _Declared(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


class _WithType(_Declared):
    @model_validator(mode="before")
    @classmethod
    def _type_alone(cls, value: Any) -> Any:
        """Read `Number__c: string` as `Number__c: {type: string}`."""
        return {"type": value} if isinstance(value, str) else value


Label = Annotated[str, Field(min_length=1, max_length=80)]
Length = Annotated[int, Field(ge=1, le=131_072)]
Digits = Annotated[int, Field(ge=1, le=18)]
Scale = Annotated[int, Field(ge=0, le=17)]


class DeclaredField(_WithType):
    """A field of an object.

    A standard field keeps its properties that are not declared here. `to` has the types
    to which a reference can point. `values` has the picklist's values; the field
    accepts other values only if it is not `restricted`.
    """

    type: FieldType | None = None
    label: Label | None = None
    required: bool | None = None
    length: Length | None = None
    precision: Digits | None = None
    scale: Scale | None = None
    unique: bool = False
    case_sensitive: bool = False
    external_id: bool = False
    to: Annotated[tuple[str, ...], BeforeValidator(_listed)] = ()
    child_relationship: str | None = None
    cascade: bool = False
    values: tuple[Annotated[str, Field(min_length=1, max_length=255)], ...] = ()
    restricted: bool = True


class DeclaredEventField(_WithType):
    """A field of a platform event."""

    type: EventFieldType
    label: Label | None = None
    required: bool = False
    length: Length | None = None
    precision: Digits | None = None
    scale: Scale | None = None


class DeclaredObject(_Declared):
    """A standard or custom object, which has exactly the declared fields and the standard fields.

    `prefix` begins the ids of a standard object that the sandbox does not know.
    """

    label: Label | None = None
    prefix: Annotated[str, Field(pattern=r"^[0-9A-Za-z]{3}$")] | None = None
    fields: Annotated[dict[str, DeclaredField], BeforeValidator(_nothing_is_empty)] = {}


class DeclaredEvent(_Declared):
    """A platform event, which has exactly the declared fields."""

    label: Label | None = None
    fields: Annotated[dict[str, DeclaredEventField], BeforeValidator(_nothing_is_empty)] = {}


EnrichedFields = Annotated[tuple[str, ...], BeforeValidator(lambda value: () if value is None else value)]
Objects = Annotated[
    dict[str, Annotated[DeclaredObject, BeforeValidator(_nothing_is_empty)]],
    BeforeValidator(_nothing_is_empty),
]
Events = Annotated[
    dict[str, Annotated[DeclaredEvent, BeforeValidator(_nothing_is_empty)]],
    BeforeValidator(_nothing_is_empty),
]
Members = Annotated[dict[str, EnrichedFields], BeforeValidator(_nothing_is_empty)]


class DeclaredSchema(_Declared):
    """Set-up of an administrator: objects, platform events, and channels.

    `channels` has the members of each channel with their enriched fields. The channel
    `ChangeEvents` selects the objects whose changes are announced; without this
    channel, all changes are announced. A `closed` org has only the declared custom
    objects, fields and events.
    """

    objects: Objects = {}
    events: Events = {}
    channels: Annotated[dict[str, Members], BeforeValidator(_nothing_is_empty)] = {}
    closed: bool = False
