"""Bodies of Tooling requests: the metadata of channels and members.

Tooling API guide, PlatformEventChannel and PlatformEventChannelMember.
"""

from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel, to_pascal

from streamer.sandbox.org.refusals import Refused
from streamer.validation import mistakes

_Body = TypeVar("_Body", bound=BaseModel)
_Name = Annotated[str, Field(min_length=1, max_length=255)]


class _Metadata(BaseModel):
    # Unknown keys are refused, because an org would refuse a misspelt key.
    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=to_camel, defer_build=True)

    urls: Any = None


class ChannelMetadata(_Metadata):
    """Metadata of a custom channel."""

    channel_type: Literal["data", "event"]
    label: _Name | None = None
    event_type: Literal["custom", "data", "monitoring"] | None = None


class EnrichedFieldMetadata(_Metadata):
    """One field that enriches a member's events."""

    name: _Name


class MemberMetadata(_Metadata):
    """Metadata of a channel's member."""

    event_channel: _Name
    selected_entity: _Name
    enriched_fields: tuple[EnrichedFieldMetadata, ...] | None = None
    filter_expression: str | None = None

    @property
    def enriched(self) -> tuple[str, ...]:
        """Names of the fields that enrich its events."""
        return tuple(dict.fromkeys(each.name for each in self.enriched_fields or ()))


class _Object(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=to_pascal, defer_build=True)

    full_name: _Name | None = None
    attributes: Any = Field(default=None, alias="attributes")


class ChannelBody(_Object):
    """Body of a request that creates or changes a custom channel; a change need not repeat the name."""

    metadata: ChannelMetadata


class MemberBody(_Object):
    """Body of a request that creates or changes a member; a change need not repeat the name."""

    metadata: MemberMetadata


def parsed(model: type[_Body], body: dict[str, Any]) -> _Body:
    """Return the parsed body; raises `Refused` for missing keys and for unknown keys."""
    try:
        return model.model_validate(body)
    except ValidationError as error:
        raise Refused("JSON_PARSER_ERROR", "; ".join(mistakes(error))) from error
