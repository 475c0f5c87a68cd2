"""Subscribers: their events, the limits of deliveries, and look-ups."""

import re
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationInfo, ValidatorFunctionWrapHandler, field_validator
from pydantic_core import PydanticCustomError

from streamer.events import Start, SubscriberName
from streamer.settings.section import Duration, Section, one_or_more

_HOUR_S = 3600.0
_MAX_IN_FLIGHT = 32


class RetrySettings(Section):
    """Limits of the retries of a delivery."""

    first_delay_s: float = Field(
        default=1.0,
        gt=0,
        description="longest delay before the first retry; it doubles with each further retry",
    )
    max_delay_s: float = Field(default=_HOUR_S, gt=0, description="longest delay before any retry")
    give_up_after_s: float = Field(
        default=24 * _HOUR_S,
        gt=0,
        description=(
            "how long Streamer tries an event: the duration of its attempts, and the average delays "
            "between them; pauses and outages do not count"
        ),
    )
    fast_tries: int = Field(
        default=3,
        ge=0,
        le=20,
        description="number of retries from memory before the key is parked in the log",
    )


class RateSettings(Section):
    """Highest rate of attempts at a target."""

    per_second: float = Field(gt=0, description="attempts per second, in each process")
    burst: int = Field(default=1, ge=1, description="how many attempts can start at once after a pause")


class BreakerSettings(Section):
    """Limits of the circuit breaker: when the breaker opens, and when it probes the target."""

    failure_ratio: float = Field(
        default=0.7,
        gt=0,
        le=1,
        description="the breaker opens at this share of failed attempts in the window",
    )
    minimum: int = Field(
        default=10, ge=1, description="the breaker never opens with fewer attempts in the window"
    )
    window: int = Field(default=50, ge=1, le=10_000, description="number of latest attempts in the window")
    window_s: float = Field(default=300.0, gt=0, description="age at which an attempt leaves the window")
    open_s: float = Field(
        default=5.0, gt=0, description="time until the first probe; it doubles after each failed probe"
    )
    max_open_s: float = Field(default=15.0, gt=0, description="longest time between two probes")


class GuardSettings(Section):
    """Limits of the flood guard: numbers of dead letters that pause a subscriber."""

    consecutive: int = Field(
        default=50,
        ge=1,
        description=(
            "number of dead letters in a row, without a delivery in between, that pauses the subscriber"
        ),
    )
    ratio: float = Field(
        default=0.5, gt=0, le=1, description="share of dead letters in the window that pauses the subscriber"
    )
    window: int = Field(default=200, ge=1, le=100_000, description="number of latest events in the window")
    minimum: int = Field(
        default=100, ge=1, description="the guard never pauses with fewer events in the window"
    )


class ContentSettings(Section):
    """Text or XML that Streamer sends instead of JSON."""

    template: str = Field(
        description="a Jinja2 template over the event; values are escaped if the type is XML or HTML"
    )
    type: str = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9.+-]*/[A-Za-z0-9][A-Za-z0-9.+-]*( *; *[A-Za-z0-9-]+=[!-:<-~]+)*$",
        description="media type of the text, such as application/xml; Streamer sends the text in UTF-8",
        examples=["application/xml", "text/xml; charset=utf-8", "text/plain"],
    )

    @field_validator("type")
    @classmethod
    def _is_in_utf8(cls, media_type: str) -> str:
        charset = re.search(r"charset=\"?([^;\"]*)", media_type, re.IGNORECASE)
        if charset is not None and charset[1].lower() not in {"utf-8", "utf8"}:
            raise ValueError("must have no charset except utf-8, because Streamer sends the text in UTF-8")
        return media_type


class LookupSettings(Section):
    """Look-up of one record. `when`, `body` and `text` see the record's fields under the look-up's name.

    The record comes from the org or, with `http`, from a service.
    """

    sobject: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z][A-Za-z0-9_]{0,79}$",
        examples=["Account"],
        description=(
            "API name of the record's object; not needed for the look-up `record`, which reads the "
            "event's own record"
        ),
    )
    id: str | None = Field(
        default=None,
        min_length=1,
        examples=["data.fields.AccountId"],
        description="a JMESPath expression for the record's id, which also sees the look-ups above this one",
    )
    http: dict[str, Any] | None = Field(
        default=None, description="the service that holds the record, instead of the org"
    )
    fields: tuple[Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]{0,79}$")], ...] = Field(
        min_length=1,
        max_length=100,
        description="API names of the fields to read; names in the JSON answer if `http` is set",
    )


class SubscriberSettings(Section):
    """Consumer that delivers events from the log to one target."""

    uses: str = Field(
        description="the plugin: slack, erp, fulfillment, salesforce, webhook, kafka, mqtt, file, stdout, "
        "or another installed plugin"
    )
    # Declared before `on`, whose validation reads it: `on` can be missing if `after` is set.
    after: Annotated[tuple[SubscriberName, ...], one_or_more()] = Field(
        default=(),
        description=(
            "subscribers that must deliver the event first; a name, or a list; expressions read their "
            "targets' answers under receipts"
        ),
    )
    on_rejected: Literal["skip", "run"] = Field(
        default="skip",
        description=(
            "with after, for an event that the earlier subscriber rejected: skip it, or run (deliver "
            "it, for example to undo an earlier step)"
        ),
    )
    join_within_s: float = Field(
        default=7 * 24 * _HOUR_S,
        gt=0,
        description=(
            "with several names in after: how long an event waits for all of them before it becomes a"
            " dead letter"
        ),
    )
    on: Annotated[tuple[str, ...], one_or_more()] = Field(
        default=(),
        validate_default=True,
        description=(
            "event types, with * for any characters; a type, or a list; default with after: all events "
            "that the earlier subscriber forwards"
        ),
    )
    when: str | None = Field(
        default=None,
        description=(
            "a JMESPath expression over the event; the subscriber gets the event if the expression is true"
        ),
    )
    body: Any = Field(
        default=None,
        description=(
            "a JMESPath projection: an expression, a mapping of expressions, or {file: mapping.yaml}"
        ),
    )
    enrich: dict[Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,39}$")], LookupSettings] = Field(
        default_factory=dict,
        max_length=10,
        description=(
            "records of the org or of services to look up for each event; when, body and text see "
            "them by these names"
        ),
    )
    keep_null: bool = Field(
        default=False, description="true: body sends null for a field that the event does not carry"
    )
    text: str | None = Field(
        default=None, description="a Jinja2 template over the event, for a message to people"
    )
    content: ContentSettings | None = Field(
        default=None,
        description=("content to send unchanged instead of body, for plugins that support it, such as erp"),
    )
    strict: bool = Field(
        default=False, description="true: text and content fail on a field that the event does not carry"
    )
    start: Start | datetime = Field(
        default=Start.LATEST,
        description="where a new subscriber begins in the log: latest (with new events), earliest, or a time",
    )
    settings: dict[str, Any] = Field(default_factory=dict, description="the plugin's own settings")
    order: Literal["key", "partition", "none"] = Field(
        default="key",
        description=(
            "which events wait for each other: events of one key, events of one partition, or no events"
        ),
    )
    retry: RetrySettings = Field(default=RetrySettings(), description="limits of the retries of a delivery")
    rate: RateSettings | None = Field(
        default=None, description="highest rate of attempts at the target; default: no limit"
    )
    breaker: BreakerSettings = Field(
        default=BreakerSettings(), description="when deliveries stop because the target fails"
    )
    guard: GuardSettings = Field(
        default=GuardSettings(), description="how many dead letters pause the subscriber"
    )
    receipts: bool = Field(
        default=False,
        description=(
            "true: the log keeps the target's answer to each delivery; always true if another subscriber "
            "comes after this subscriber"
        ),
    )
    deliver_within: Duration | None = Field(
        default=0.5 * _HOUR_S,
        gt=0,
        examples=["10m"],
        description=(
            "how long an event can stay undelivered after its commit in Salesforce before an alert "
            "fires, such as 90s, 10m or 2h; null: no alert"
        ),
    )
    max_in_flight: int | None = Field(
        default=None,
        ge=1,
        le=10_000,
        description=(
            "most keys delivered at once; Streamer adapts the number to the target; default: 32, or "
            "two batches if a plugin takes more in one call"
        ),
    )
    max_waiting: int = Field(
        default=2_000, ge=1, description="most events in memory; reading pauses above this number"
    )
    max_waiting_bytes: int = Field(default=16 * 1024**2, ge=1024, description="most bytes of them in memory")
    max_parked: int = Field(
        default=100_000,
        ge=1,
        description=(
            "most parked events of one partition; reading of the partition pauses above this number"
        ),
    )
    deliver_timeout_s: float = Field(
        default=30.0,
        gt=0,
        description="time-out of an attempt; after a time-out, Streamer retries the event later",
    )

    @field_validator("on", mode="wrap")
    @classmethod
    def _comes_from_somewhere(
        cls, on: Any, validated: ValidatorFunctionWrapHandler, info: ValidationInfo
    ) -> Any:
        # `info.data` does not contain `after` if `after` has a mistake. A tuple is the default,
        # because a file gives a list.
        if not on and not info.data.get("after", ...):
            if isinstance(on, tuple):
                raise PydanticCustomError("missing", "is missing")
            raise PydanticCustomError("too_short", "is empty", {"min_length": 1})
        return validated(on)

    @field_validator("content")
    @classmethod
    def _replaces_body(cls, content: ContentSettings | None, info: ValidationInfo) -> ContentSettings | None:
        if content is not None and info.data.get("body") is not None:
            raise ValueError("replaces body: set either content or body")
        return content

    def in_flight_limit(self, batch_size: int) -> int:
        """Return the most keys delivered at once, for a plugin that takes `batch_size` events per call."""
        return self.max_in_flight or max(_MAX_IN_FLIGHT, 2 * batch_size)


class LookupsSettings(Section):
    """Limits of the look-ups of all subscribers with `enrich`."""

    cache_s: float = Field(
        default=60.0,
        ge=0,
        description=(
            "how long a record from the org or a service is used for further events; an event of the "
            "record ends this time earlier"
        ),
    )
    cache_entries: int = Field(default=10_000, ge=1, description="most records in memory")
    cache_bytes: int = Field(default=32 * 1024**2, ge=1024, description="most bytes of them in memory")
    batch: int = Field(
        default=200, ge=1, le=2_000, description="most records of one object that one call reads"
    )
    collect_s: float = Field(
        default=0.005,
        ge=0,
        le=10,
        description="how long a call waits for further look-ups before it is sent",
    )
    timeout_s: float = Field(
        default=30.0,
        gt=0,
        description="how long an event waits for its look-ups before Streamer retries it later",
    )
    reserve: float = Field(
        default=0.2,
        ge=0,
        lt=1,
        description=(
            "share of the org's daily requests that is reserved for other uses; look-ups wait while "
            "less is left"
        ),
    )
