"""Subscribers: their events, the limits of deliveries, and look-ups."""

import re
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationInfo, ValidatorFunctionWrapHandler, field_validator
from pydantic_core import PydanticCustomError

from streamer.events import Start, SubscriberName
from streamer.settings.section import Duration, Section, one_or_more, optional_section

_HOUR_S = 3600.0
_MAX_IN_FLIGHT = 32


class RetrySettings(Section):
    """Limits of the retries of a delivery."""

    first_delay_s: float = Field(
        default=1.0,
        gt=0,
        description="longest delay before the first retry; the longest delay doubles with each further retry",
    )
    max_delay_s: float = Field(default=_HOUR_S, gt=0, description="longest delay before any retry")
    give_up_after_s: float = Field(
        default=24 * _HOUR_S,
        gt=0,
        description=(
            "total time for which Streamer tries an event: the duration of the attempts, and the average "
            "delays between attempts; pauses and outages do not count"
        ),
    )
    fast_tries: int = Field(
        default=3,
        ge=0,
        le=20,
        description="number of retries from memory, before Streamer parks the event's key in the log",
    )


class RateSettings(Section):
    """Highest rate of attempts at a target."""

    per_second: float = Field(gt=0, description="maximum number of attempts per second, in each process")
    burst: int = Field(default=1, ge=1, description="number of attempts that can start at once after a pause")


class BreakerSettings(Section):
    """Limits of the circuit breaker: when the breaker opens, and when it probes the target."""

    failure_ratio: float = Field(
        default=0.7,
        gt=0,
        le=1,
        description="share of failed attempts in the window at which the breaker opens",
    )
    minimum: int = Field(
        default=10,
        ge=1,
        description="smallest number of attempts in the window at which the breaker can open",
    )
    window: int = Field(default=50, ge=1, le=10_000, description="number of latest attempts in the window")
    window_s: float = Field(default=300.0, gt=0, description="age at which an attempt leaves the window")
    open_s: float = Field(
        default=5.0, gt=0, description="time until the first probe; the time doubles after each failed probe"
    )
    max_open_s: float = Field(default=15.0, gt=0, description="longest time between two probes")


class GuardSettings(Section):
    """Limits of the flood guard: numbers of dead letters that pause a subscriber."""

    consecutive: int = Field(
        default=50,
        ge=1,
        description="number of dead letters in a row at which Streamer pauses the subscriber",
    )
    ratio: float = Field(
        default=0.5,
        gt=0,
        le=1,
        description="share of dead letters in the window above which Streamer pauses the subscriber",
    )
    window: int = Field(default=200, ge=1, le=100_000, description="number of latest events in the window")
    minimum: int = Field(
        default=100,
        ge=1,
        description="smallest number of events in the window at which Streamer can pause the subscriber",
    )


class ContentSettings(Section):
    """Text or XML that Streamer sends instead of JSON."""

    template: str = Field(
        description=(
            "Jinja2 template that makes the text from the event; values are escaped if the type is XML "
            "or HTML"
        )
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

    The record comes from the org, with `state` from the states that Streamer keeps, or with
    `http` from a service.
    """

    sobject: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z][A-Za-z0-9_]{0,79}$",
        examples=["Account"],
        description=(
            "API name of the record's object; the look-up `record` needs no name, because it reads the "
            "event's own record"
        ),
    )
    state: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z][A-Za-z0-9_]{0,79}$",
        examples=["Account"],
        description=(
            "name of an object in state.objects, from whose states Streamer reads the record, without a "
            "request to the org; without id, the look-up reads the event's own record"
        ),
    )
    id: str | None = Field(
        default=None,
        min_length=1,
        examples=["data.fields.AccountId"],
        description=(
            "JMESPath expression for the record's id; the expression also sees the results of the "
            "look-ups above this look-up"
        ),
    )
    http: dict[str, Any] | None = Field(
        default=None, description="HTTP service from which Streamer reads the record, instead of the org"
    )
    fields: tuple[Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]{0,79}$")], ...] = Field(
        min_length=1,
        max_length=100,
        description="API names of the fields to read; with `http`, names in the service's JSON answer",
    )


class SubscriberSettings(Section):
    """Consumer that delivers events from the log to one target."""

    uses: str = Field(
        description="plugin that delivers the events: slack, erp, fulfillment, salesforce, webhook, "
        "kafka, mqtt, file, stdout, or another installed plugin"
    )
    # Declared before `on`, whose validation reads it: `on` can be missing if `after` is set.
    after: Annotated[tuple[SubscriberName, ...], one_or_more()] = Field(
        default=(),
        description=(
            "name, or list of names, of subscribers that must deliver the event first; in expressions, "
            "receipts holds the answers of these subscribers' targets"
        ),
    )
    on_rejected: Literal["skip", "run"] = Field(
        default="skip",
        description=(
            "with after, treatment of an event that the earlier subscriber rejected: skip, or run "
            "(deliver the event, for example to undo an earlier step)"
        ),
    )
    join_within_s: float = Field(
        default=7 * 24 * _HOUR_S,
        gt=0,
        description=(
            "with several names in after, time for which an event waits for all these subscribers, "
            "before it becomes a dead letter"
        ),
    )
    on: Annotated[tuple[str, ...], one_or_more()] = Field(
        default=(),
        validate_default=True,
        description=(
            "event type, or list of event types, that the subscriber gets; * stands for any characters; "
            "default with after: all events that the earlier subscriber forwards"
        ),
    )
    when: str | None = Field(
        default=None,
        description=(
            "JMESPath expression over the event; the subscriber gets the event if the expression is true"
        ),
    )
    body: Any = Field(
        default=None,
        description=(
            "JMESPath projection that makes the body from the event: an expression, a mapping of "
            "expressions, or {file: mapping.yaml}"
        ),
    )
    enrich: dict[Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,39}$")], LookupSettings] = Field(
        default_factory=dict,
        max_length=10,
        description=(
            "records that Streamer looks up for each event, by name; when, body and text use the records by "
            "these names"
        ),
    )
    keep_null: bool = Field(
        default=False,
        description=(
            "true: body holds null for a field that the event does not carry; false: body leaves the "
            "field out"
        ),
    )
    text: str | None = Field(
        default=None, description="Jinja2 template that makes a message to people from the event"
    )
    content: ContentSettings | None = Field(
        default=None,
        description=(
            "text that the plugin sends unchanged, instead of body; only for plugins that support "
            "content, such as erp"
        ),
    )
    strict: bool = Field(
        default=False,
        description="true: a field that the event does not carry is an error in text and content",
    )
    start: Start | datetime = Field(
        default=Start.LATEST,
        description=(
            "position in the log at which a new subscriber begins: latest (new events), earliest (the "
            "oldest event) or a time"
        ),
    )
    settings: dict[str, Any] = Field(default_factory=dict, description="the plugin's own settings")
    order: Literal["key", "partition", "none"] = Field(
        default="key",
        description=(
            "order of deliveries: key (events of one key wait for each other), partition (events of one "
            "partition wait for each other) or none"
        ),
    )
    retry: RetrySettings = optional_section("delays and limits of retries")
    rate: RateSettings | None = Field(
        default=None, description="highest rate of attempts at the target; default: no limit"
    )
    breaker: BreakerSettings = optional_section(
        "circuit breaker, which stops deliveries while the target fails",
    )
    guard: GuardSettings = optional_section("guard, which pauses the subscriber after too many dead letters")
    receipts: bool = Field(
        default=False,
        description=(
            "true: the log keeps the target's answer to each delivery; always true if another subscriber "
            "names this subscriber in after"
        ),
    )
    deliver_within: Duration | None = Field(
        default=0.5 * _HOUR_S,
        gt=0,
        examples=["10m"],
        description=(
            "time from an event's commit in Salesforce, such as 90s, 10m or 2h, after which an alert "
            "reports that the event is undelivered; null: no alert"
        ),
    )
    max_in_flight: int | None = Field(
        default=None,
        ge=1,
        le=10_000,
        description=(
            "maximum number of keys with a delivery under way; Streamer adapts the number to the target; "
            "default: 32, or two batches if a plugin takes more events in one call"
        ),
    )
    max_waiting: int = Field(
        default=2_000,
        ge=1,
        description="maximum number of events in memory; reading pauses above this number",
    )
    max_waiting_bytes: int = Field(
        default=16 * 1024**2, ge=1024, description="maximum number of bytes of these events in memory"
    )
    max_parked: int = Field(
        default=100_000,
        ge=1,
        description=(
            "maximum number of parked events of one partition; reading of the partition pauses above this "
            "number"
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
            "time for which Streamer uses a record from the org or a service for further events; an "
            "event of the same record ends this time early"
        ),
    )
    cache_entries: int = Field(default=10_000, ge=1, description="maximum number of records in memory")
    cache_bytes: int = Field(
        default=32 * 1024**2, ge=1024, description="maximum number of bytes of these records in memory"
    )
    batch: int = Field(
        default=200, ge=1, le=2_000, description="maximum number of records of one object that one call reads"
    )
    collect_s: float = Field(
        default=0.005,
        ge=0,
        le=10,
        description="time for which a call waits for further look-ups, before Streamer sends the call",
    )
    timeout_s: float = Field(
        default=30.0,
        gt=0,
        description="time for which an event waits for its look-ups, before Streamer retries the event later",
    )
    reserve: float = Field(
        default=0.2,
        ge=0,
        lt=1,
        description=(
            "share of the org's daily requests that Streamer leaves to other clients; look-ups wait "
            "while less than this share is left"
        ),
    )
