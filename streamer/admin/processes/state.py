"""State that a process reports to the other processes of its log, and the sums of several states."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, Strict, model_validator

from streamer.admin.problems.groups import MOST_RECORDS, OpenProblem, ProblemKind
from streamer.events import JsonObject, SubscriberName
from streamer.observe.redaction import masked

MOST_PARKED = 50
"""Largest number of parked keys in a report: those that are due first."""
MOST_PROBLEMS = 50
"""Largest number of problems in a report: the newest."""
LONGEST_TEXT = 300
"""Largest number of characters of a text in a report."""

# A page adds up the numbers of many processes, and shows each time as a date.
_LARGEST = 10**15
_LAST_S = datetime(9999, 1, 1, tzinfo=UTC).timestamp()


def _moment(text: str) -> str:
    """Return a time in RFC 3339 unchanged. Raises `ValueError` for any other text."""
    found = datetime.fromisoformat(text)
    if found.tzinfo is None or not 0 <= found.timestamp() <= _LAST_S:
        raise ValueError("a time needs its zone, and a year from 1970 to 9998")
    return text


Moment = Annotated[str, AfterValidator(_moment)]
Epoch = Annotated[float, Strict(), Field(ge=0, le=_LAST_S)]
Number = Annotated[float, Strict(), Field(ge=0, le=_LARGEST)]
Count = Annotated[int, Strict(), Field(ge=0, le=_LARGEST)]


def shown(text: object) -> object:
    """Return a text for a report: short, with masked secrets, and in characters that UTF-8 can hold."""
    readable = _readable(text)
    return masked(readable, limit=LONGEST_TEXT) if isinstance(readable, str) else readable


def _readable(text: object) -> object:
    return text.encode("utf-8", "backslashreplace").decode() if isinstance(text, str) else text


def _short(text: object) -> object:
    readable = _readable(text)
    return readable[:LONGEST_TEXT] if isinstance(readable, str) else readable


Text = Annotated[str, BeforeValidator(shown)]
Name = Annotated[SubscriberName, BeforeValidator(_short)]
Key = Annotated[str, BeforeValidator(_short)]


class _Reported(BaseModel):
    """Part of a report. A report of a newer Streamer can have further keys."""

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)


class ReportedFailure(_Reported):
    """Failures in a row, as in the API."""

    error: Text
    failure_class: str = Field(alias="class")
    since: Moment
    at: Moment
    count: Count


class ReportedStatus(_Reported):
    """Deliveries of one process to a subscriber, with the keys of `here` in the API."""

    held: Text
    breaker: Text
    down_since: Moment | None
    lag: Count
    oldest_waits_s: Number
    late: Text
    waiting: Count
    parked: Count
    in_flight: Count
    limit: Count
    failing: ReportedFailure | None
    next_try: Moment | None


class ReportedSubscriber(_Reported):
    """Subscriber in one process; `blocked` is the reason why its plugin can't be opened, or empty."""

    state: Text
    blocked: Text = ""
    per_second: Number | None = None
    here: ReportedStatus | None = None


class ReportedChannel(_Reported):
    """Channel that a process owns, with the columns of its row in the console. Times are epoch seconds."""

    word: Text
    level: Literal["bad", "waits", "good", "quiet"]
    reason: Text = ""
    per_second: Number | None = None
    verified_at: Epoch | None = None
    expires_at: Epoch | None = None
    expires_soon: bool = False


class ReportedKey(_Reported):
    """Parked key, as in the API."""

    subscriber: Name
    key: Key
    state: Text
    events: Count
    attempts: Count
    due_at: Moment
    error: Text
    first_failed_at: Moment | None
    first_error: Text
    topic: Text
    partition: Count
    offset: Count


_OF_PROCESS = frozenset({ProblemKind.CHANNEL_REFUSED, ProblemKind.PROCESS_WAITS})
_OF_SUBSCRIBER = frozenset(
    {
        ProblemKind.PARKED,
        ProblemKind.TARGET_DOWN,
        ProblemKind.HELD,
        ProblemKind.LATE,
        ProblemKind.PLUGIN_NOT_OPEN,
    }
)


class ReportedProblem(_Reported):
    """Problem of a process or its subscribers, with the fields of `OpenProblem`; the log has all others."""

    kind: ProblemKind
    reason: Text = ""
    error: Text = ""
    subscriber: Name | None = None
    channel: Text | None = None
    entity: Text | None = None
    records: tuple[Text, ...] = Field(default=(), max_length=MOST_RECORDS)
    since: Epoch | None = None
    latest: Epoch | None = None
    count: Count = 1
    can_be_repeated: bool = True

    @model_validator(mode="after")
    def _has_its_part(self) -> Self:
        if self.kind not in _OF_PROCESS and not (self.kind in _OF_SUBSCRIBER and self.subscriber):
            raise ValueError("a process reports its own problems, and those of a subscriber that it names")
        return self

    def as_problem(self) -> OpenProblem:
        """Return the problem, to be grouped with the problems of other processes."""
        return OpenProblem(**dict(self))


class ProcessState(_Reported):
    """All that a process reports: its channels, its share of each subscriber, its keys, problems and counts.

    `parked_keys` counts all parked keys of each subscriber; `parked` lists those that are
    due first. `counts` are the numbers of the last minute, and of the last hour.
    """

    channels: Mapping[str, ReportedChannel] = Field(default_factory=dict)
    subscribers: Mapping[SubscriberName, ReportedSubscriber] = Field(default_factory=dict)
    parked_keys: Mapping[SubscriberName, Count] = Field(default_factory=dict)
    parked: Sequence[ReportedKey] = Field(default=(), max_length=MOST_PARKED)
    problems: Sequence[ReportedProblem] = Field(default=(), max_length=MOST_PROBLEMS)
    counts: Mapping[str, Number] = Field(default_factory=dict)

    def as_body(self) -> JsonObject:
        """Return the state as the body of a record."""
        body: JsonObject = self.model_dump(mode="json", by_alias=True)
        return body


def sum_of(statuses: Sequence[ReportedStatus]) -> ReportedStatus:
    """Return the status of a subscriber in one or more processes together; the first one is this process.

    Events are added up; the oldest event, the earliest failure and the next attempt count.
    """
    latest_first = sorted(statuses, key=lambda each: -each.oldest_waits_s)
    return ReportedStatus(
        held=next((each.held for each in statuses if each.held), ""),
        breaker="open" if any(each.breaker == "open" for each in statuses) else "closed",
        down_since=_earliest(each.down_since for each in statuses),
        lag=sum(each.lag for each in statuses),
        oldest_waits_s=latest_first[0].oldest_waits_s,
        late=next((each.late for each in latest_first if each.late), ""),
        waiting=sum(each.waiting for each in statuses),
        parked=sum(each.parked for each in statuses),
        in_flight=sum(each.in_flight for each in statuses),
        limit=sum(each.limit for each in statuses),
        failing=_failures([each.failing for each in statuses if each.failing]),
        next_try=_earliest(each.next_try for each in statuses),
    )


def _failures(failures: Sequence[ReportedFailure]) -> ReportedFailure | None:
    if not failures:
        return None
    latest = max(failures, key=lambda each: _epoch(each.at))
    since = _earliest(each.since for each in failures)
    return latest.model_copy(update={"since": since, "count": sum(each.count for each in failures)})


def _earliest(moments: Iterable[str | None]) -> str | None:
    return min((each for each in moments if each), key=_epoch, default=None)


def _epoch(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp()


def in_order_of_due(keys: Iterable[JsonObject]) -> list[JsonObject]:
    """Return parked keys of the API, the one whose next attempt comes first at the beginning."""
    return sorted(keys, key=lambda each: _epoch(each["due_at"]))
