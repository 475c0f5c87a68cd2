"""Channels: what is read from the org."""

import re
from typing import Literal

from pydantic import Field, field_validator

from streamer.events import Start
from streamer.settings.org import Transport
from streamer.settings.section import Section


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
        description="where to go on when Salesforce no longer knows the checkpoint; always recorded; "
        "earliest leaves out what the log holds",
    )
    key: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z]\w*$",
        examples=["Order_No__c"],
        description="the field by which platform events stay in order; default: no order between them",
    )

    @field_validator("path")
    @classmethod
    def _is_a_channel(cls, path: str) -> str:
        if not re.match(r"^/(data|event)/[A-Za-z]\w*$", path):
            raise ValueError(
                "must look like /data/ChangeEvents, /data/AccountChangeEvent or /event/Order_Placed__e"
            )
        return path
