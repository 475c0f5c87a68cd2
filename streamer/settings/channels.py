"""Channels that Streamer reads from the org."""

import re
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import (
    AwareDatetime,
    BeforeValidator,
    Discriminator,
    Field,
    Tag,
    ValidationInfo,
    field_validator,
)

from streamer.channel_paths import ChannelKind, change_channel, changed_entity
from streamer.clock import CLOCKS_DIFFER_S, SystemClock
from streamer.settings.org import Transport
from streamer.settings.section import Section

# A name begins with a letter, so that its Kafka topic can't be one of the broker's own topics. A
# value of a PushTopic's filter can be any text without &, which joins the conditions.
_PATHS = re.compile(
    r"/(?:(?:data|event)/[A-Za-z]\w*"
    r"|topic/[A-Za-z][\w.-]*(?:\?[A-Za-z][\w.]*=[^&\x00-\x1f]+(?:&[A-Za-z][\w.]*=[^&\x00-\x1f]+)*)?"
    r"|u/[A-Za-z][\w.-]*(?:/[\w.-]+)*)",
    re.ASCII,
)
_OBJECT = re.compile(r"(?:/?data/)?([A-Za-z]\w*?)(__c)?(?:_*ChangeEvents?)?", re.ASCII)
# No org is older, and a query's time needs a year of four digits.
_FIRST = datetime(2000, 1, 1, tzinfo=UTC)
_EXAMPLES = (
    "must look like /data/ChangeEvents, /data/AccountChangeEvent, /event/Order_Placed__e, "
    "/topic/OpenInvoices or /u/notifications/Orders"
)


class LargeText(StrEnum):
    """Treatment of large texts if Salesforce sends a change as a diff."""

    MARK = "mark"
    """The event holds the diff, and names the field in `diff_fields`."""
    APPLY = "apply"
    """Streamer applies the diff if it knows the old value."""
    REREAD = "reread"
    """Like `apply`; if the old value is unknown, Streamer reads the record."""


class StartWord(StrEnum):
    """Start of a channel that is not a time."""

    LATEST = "latest"
    EARLIEST = "earliest"
    SNAPSHOT = "snapshot"
    """Like `latest`; existing records also become snapshot events."""


class StartTime(Section):
    """Start of a channel at a time."""

    since: AwareDatetime = Field(
        description=(
            "time of the first events to read, such as 2026-01-31T09:30:00Z; if Salesforce no longer "
            "retains all events since this time, on_refused_replay_id decides whether Streamer repairs "
            "the hole"
        )
    )

    @field_validator("since")
    @classmethod
    def _is_past(cls, since: datetime) -> datetime:
        if since < _FIRST:
            raise ValueError("must be a time since 2000")
        if since.timestamp() > SystemClock().now() + CLOCKS_DIFFER_S:
            raise ValueError("must not be in the future; to begin with new events, remove start")
        return since


def _known_word(start: Any) -> Any:
    if start not in [*StartWord]:
        raise ValueError("must be latest, earliest, snapshot or a time as in {since: 2026-01-31T09:30:00Z}")
    return start


def _kind_of_start(start: Any) -> str:
    return "time" if isinstance(start, dict | StartTime) else "word"


class ChannelSettings(Section):
    """One channel to subscribe to, with the rules for its start and its recovery."""

    path: str = Field(
        description="path of the channel, such as /data/ChangeEvents, /data/AccountChangeEvent, "
        "/event/Order_Placed__e, /topic/OpenInvoices or /u/notifications/Orders; a PushTopic can "
        "have a filter, such as /topic/OpenInvoices?Region__c='North'&Region__c='West', where & "
        "means or"
    )
    start: Annotated[
        Annotated[StartWord, BeforeValidator(_known_word), Tag("word")] | Annotated[StartTime, Tag("time")],
        Discriminator(_kind_of_start),
    ] = Field(
        default=StartWord.LATEST,
        description=(
            "position at which a channel without a checkpoint begins: latest (new events), earliest (the "
            "oldest event that Salesforce retains), a time ({since: 2026-01-31T09:30:00Z}) or snapshot "
            "(new events, and one event for each existing record; only for channels of changes)"
        ),
    )
    transport: Transport | None = Field(
        default=None,
        description=(
            "API that carries the channel: cometd (Streaming API) or pubsub (Pub/Sub API); default: "
            "org.transport; /topic and /u channels work only with cometd"
        ),
    )
    on_refused_replay_id: Literal["repair", "earliest", "latest", "fail"] = Field(
        default="repair",
        description=(
            "position at which the channel continues when Salesforce refuses the checkpoint's replay id: "
            "latest (new events), earliest (the oldest retained event; Streamer skips events that the "
            "log already holds), repair (like earliest, and Streamer also reads the changed records from "
            "the org; only for channels of changes) or fail (the channel stops); a continuity record "
            "describes the hole"
        ),
    )
    replay_retained: Literal["with_allowance", "always"] = Field(
        default="with_allowance",
        description=(
            "condition for reading all events that Salesforce retains (after start: earliest, a refused "
            "replay id or a change of transport): with_allowance (the channel waits while less than a "
            "fifth of the day's events is left) or always (the channel never waits)"
        ),
    )
    on_gap_event: Literal["repair", "record"] = Field(
        default="repair",
        description=(
            "reaction to a gap event, which names a changed record without the changed values: repair "
            "(Streamer reads the record, and publishes its values in a further event) or record "
            "(Streamer only writes a continuity record)"
        ),
    )
    key: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z][A-Za-z0-9_]*$",
        examples=["Order_No__c"],
        description=(
            "field whose value decides the order: events with the same value stay in order; only for "
            "platform events, and for generic events with a JSON object; default: no order"
        ),
    )

    large_text: LargeText = Field(
        default=LargeText.MARK,
        description=(
            "treatment of a large text when Salesforce sends only a diff: mark (the event holds the "
            "diff), apply (Streamer applies the diff if it knows the old text) or reread (like apply, "
            "but Streamer reads the record if it does not know the old text)"
        ),
    )
    large_text_cache_bytes: int = Field(
        default=32 * 1024 * 1024,
        ge=1024 * 1024,
        le=1024 * 1024 * 1024,
        description="maximum memory for old versions of large texts; no effect if large_text is mark",
    )

    @field_validator("path")
    @classmethod
    def _is_a_channel(cls, path: str) -> str:
        if _PATHS.fullmatch(path) and not _is_of_no_changes(path):
            return path
        meant = _channel_meant(path)
        raise ValueError(f"must be {meant}" if meant else _EXAMPLES)

    @field_validator("start")
    @classmethod
    def _has_records(cls, start: StartWord | StartTime, info: ValidationInfo) -> StartWord | StartTime:
        path = info.data.get("path")
        if start is StartWord.SNAPSHOT and path and ChannelKind.of(path) is not ChannelKind.CHANGES:
            raise ValueError(
                "must be latest, earliest or a time: snapshot works only for channels of changes (/data/…)"
            )
        return start

    @field_validator("transport")
    @classmethod
    def _serves_the_channel(cls, transport: Transport | None, info: ValidationInfo) -> Transport | None:
        if transport is Transport.PUBSUB and not ChannelKind.of(info.data.get("path", "")).is_on_pubsub:
            raise ValueError(
                "must be cometd or absent: the Pub/Sub API does not serve PushTopics and generic channels"
            )
        return transport


def _is_of_no_changes(path: str) -> bool:
    """Return true for a path that only looks like a channel of changes, such as `/data/Invoice__c`."""
    if ChannelKind.of(path) is not ChannelKind.CHANGES:
        return False
    entity = changed_entity(path)
    if entity is None:
        return path != "/data/ChangeEvents" and not path.endswith("__chn")
    return entity.endswith("__c__c") or (entity.endswith("__c") and path != change_channel(entity))


def _channel_meant(path: str) -> str:
    """Return the channel that the user probably means by `path`, or an empty text."""
    if re.fullmatch(r"(?:/?(?:event|data)/)?[A-Za-z]\w*__e", path, re.ASCII):
        return f"/event/{path.rpartition('/')[2]}"
    if path.rpartition("/")[2].lower() in {"changeevent", "changeevents"}:
        return "/data/ChangeEvents"
    found = _OBJECT.fullmatch(path)
    return change_channel(found[1] + (found[2] or "")) if found else ""
