"""Channels: what is read from the org."""

import re
from enum import StrEnum
from typing import Literal

from pydantic import Field, field_validator

from streamer.events import Start
from streamer.settings.org import Transport
from streamer.settings.section import Section


class LargeText(StrEnum):
    """Treatment of large texts whose change Salesforce sends as a diff."""

    MARK = "mark"
    """The event holds the diff, and names the field in `diff_fields`."""
    APPLY = "apply"
    """The diff is applied where the former value is known."""
    REREAD = "reread"
    """As `apply`; where the former value is unknown, the record is read."""


class ChannelSettings(Section):
    """One subscription path, and the rules for beginning and recovering on it."""

    path: str = Field(
        description="/data/ChangeEvents, /data/AccountChangeEvent, /event/Order_Placed__e and their like"
    )
    start: Start = Field(default=Start.LATEST, description="where to begin when the log has no checkpoint")
    transport: Transport | None = Field(
        default=None, description="cometd (Streaming API) or pubsub (Pub/Sub API); default: org.transport"
    )
    on_refused_replay_id: Literal["earliest", "latest", "fail"] = Field(
        default="earliest",
        description="where to go on when Salesforce no longer knows the checkpoint; always recorded",
    )
    key: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z]\w*$",
        examples=["Order_No__c"],
        description="the field by which platform events stay in order; default: no order between them",
    )

    large_text: LargeText = Field(
        default=LargeText.MARK,
        description="what becomes of a large text of which Salesforce sends only a diff: mark (the event "
        "holds the diff), apply (to the former text, where it is known) or reread (apply, or else "
        "read the record)",
    )
    large_text_cache_bytes: int = Field(
        default=32 * 1024 * 1024,
        ge=1024 * 1024,
        le=1024 * 1024 * 1024,
        description="memory for the former large texts, unless large_text is mark",
    )

    @field_validator("path")
    @classmethod
    def _is_a_channel(cls, path: str) -> str:
        if not re.match(r"^/(data|event)/[A-Za-z]\w*$", path):
            raise ValueError(
                "must look like /data/ChangeEvents, /data/AccountChangeEvent or /event/Order_Placed__e"
            )
        return path
