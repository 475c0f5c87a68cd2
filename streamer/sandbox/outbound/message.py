"""Definition of an outbound message."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field


class OutboundMessage(BaseModel):
    """Message to `url` when a record of the type `object` is created or updated.

    The record's `Id` is always among the `fields`. With `send_session`, the envelope
    contains an access token. Without `verify`, any certificate of the server is
    accepted.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    object: str
    url: Annotated[str, Field(pattern=r"^https?://[^\s/]+")]
    fields: tuple[str, ...] = ()
    on: tuple[Literal["create", "update"], ...] = ("create", "update")
    send_session: bool = False
    verify: bool = True
