"""Schemas of the API's requests, and the errors for refused requests."""

from dataclasses import replace
from typing import Annotated, TypeVar

from aiohttp import web
from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from streamer.controls import AuditRecord, ChannelPosition, ContinuityFilter, LetterFilter, Redrive
from streamer.events import HoleCause, JsonObject, Repair, SubscriberName
from streamer.known_secrets import KNOWN
from streamer.validation import mistakes

# An operator's words are kept for months, and other people read them. So a pasted secret is masked.
_Words = Annotated[str, AfterValidator(KNOWN.hidden)]


class ApiError(Exception):
    """Refusal of a request: an HTTP status, and a sentence for the operator."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


def conflict(redrive: Redrive, what: str) -> ApiError:
    """Return the error for a request that conflicts with an open `redrive`; `what` completes the message."""
    whose = redrive.letters.subscriber or redrive.letters.channel or "all subscribers"
    return ApiError(
        409,
        f"Redrive {redrive.id} of {whose} {what}: wait for the end of that redrive, or cancel it with "
        f"`streamer deadletters cancel {redrive.id}`.",
    )


MOST_LETTERS = 1_000
"""Largest number of dead letters, parked keys, continuity records or audit records in one list."""
_Model = TypeVar("_Model", bound=BaseModel)


class RequestModel(BaseModel):
    """Content of a request; an unknown key is a mistake."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, defer_build=True)


class ChangeRequest(RequestModel):
    """Request for a change; `by` is the operator's name for the audit."""

    by: _Words = Field(default="operator", min_length=1, max_length=100)


class PauseRequest(ChangeRequest):
    """Request to pause a subscriber, for `reason`."""

    reason: _Words = Field(default="", max_length=500)


class TestEventRequest(ChangeRequest):
    """Request for a test event; `data` supplies the fields that the subscriber's expressions read."""

    data: JsonObject | None = None


class Last(RequestModel):
    """Number of latest entries to return."""

    last: int = Field(default=50, ge=1, le=MOST_LETTERS)


class Audited(Last):
    """Request for the latest audit records that match a filter; `until` excludes exactly this time.

    `what` is a word such as `subscriber.paused`, or its first part, such as `redrive`.
    """

    what: str | None = Field(default=None, max_length=100)
    by: str | None = Field(default=None, max_length=100)
    subscriber: str | None = Field(default=None, max_length=255)
    since: AwareDatetime | None = None
    until: AwareDatetime | None = None

    @property
    def is_filtered(self) -> bool:
        """True if some records do not match."""
        return any((self.what, self.by, self.subscriber, self.since, self.until))

    def admits(self, record: AuditRecord) -> bool:
        """Return true if every field matches the record."""
        return (
            (not self.what or f"{record.what}.".startswith(f"{self.what}."))
            and (not self.by or record.by.casefold() == self.by.casefold())
            and self.subscriber in {None, record.subscriber}
            and (self.since is None or record.at >= self.since.timestamp())
            and (self.until is None or record.at < self.until.timestamp())
        )


class Parked(RequestModel):
    """Request for the `first` parked keys, ordered by due time."""

    subscriber: SubscriberName | None = None
    key: str | None = None
    first: int = Field(default=50, ge=1, le=MOST_LETTERS)


class Holes(Last):
    """Request for the latest continuity records that match a filter; `channel` is a path."""

    channel: str | None = None
    cause: HoleCause | None = None
    state: Repair | None = None
    since: AwareDatetime | None = None

    def meant(self) -> ContinuityFilter:
        """Return the filter."""
        return ContinuityFilter(
            channel=self.channel,
            cause=self.cause,
            state=self.state,
            recorded_from=None if self.since is None else self.since.timestamp(),
        )


class AcknowledgeRequest(ChangeRequest):
    """Request to acknowledge the hole with this `id`, for `reason`."""

    id: str = Field(min_length=1, max_length=1_000)
    reason: _Words = Field(max_length=500, pattern=r"\S")


class SnapshotRequest(ChangeRequest):
    """Request for a snapshot of the records of `entity`; `dry_run` only returns the channel and the cost.

    `where` is a SOQL condition; empty means all records. Without `fields`, the
    snapshot reads all fields. `channel` is a path; the default is the entity's
    channel. With `since`, the snapshot reads only records changed or deleted since
    then.
    """

    entity: str = Field(min_length=1, max_length=255)
    where: str = ""
    fields: tuple[str, ...] = Field(default=(), max_length=1_000)
    since: AwareDatetime | None = None
    channel: str | None = None
    dry_run: bool = False


class OfChannel(ChangeRequest):
    """Request about the channel at the path `channel`."""

    channel: str = Field(min_length=1, max_length=1_000)


class PositionRequest(OfChannel):
    """Request to move a channel to another position; `dry_run` only returns the effects.

    `replay_id` is text and needs the place `replay_id`; `since` is a time and needs
    the place `since`. The answer waits at most `wait_s` seconds for the outcome.
    """

    place: ChannelPosition
    replay_id: str | None = Field(default=None, min_length=1, max_length=400)
    since: AwareDatetime | None = None
    repeat: bool = False
    dry_run: bool = False
    wait_s: float = Field(default=10.0, ge=0, le=300)


class Letters(RequestModel):
    """Filter of dead letters; `until` excludes a dead letter at exactly this time.

    `channel` is a path, and selects the dead letters that ingest set aside in that
    channel.
    """

    channel: str | None = None
    subscriber: SubscriberName | None = None
    key: str | None = None
    reason: str | None = None
    error: _Words | None = None
    since: AwareDatetime | None = None
    until: AwareDatetime | None = None

    def meant(self, now: float) -> LetterFilter:
        """Return the filter; dead letters that fail after `now` never match."""
        until = now if self.until is None else min(now, self.until.timestamp())
        return LetterFilter(
            subscriber=self.subscriber,
            key=self.key,
            reason=self.reason,
            error=self.error,
            failed_from=None if self.since is None else self.since.timestamp(),
            failed_before=until,
            channel=self.channel,
        )


class Listing(Letters, Last):
    """Request for the latest dead letters that match a filter."""


class Chosen(Letters, ChangeRequest):
    """Request for a change to dead letters, optionally chosen by `ids`; `dry_run` changes nothing."""

    ids: tuple[str, ...] | None = Field(default=None, min_length=1, max_length=MOST_LETTERS)
    dry_run: bool = False

    def meant(self, now: float) -> LetterFilter:
        """Return the filter; dead letters that fail after `now` never match."""
        return replace(super().meant(now), ids=None if self.ids is None else frozenset(self.ids))


class RedriveRequest(Chosen):
    """Request to redrive dead letters, at most `per_second`.

    A dead letter is superseded if a later event of the same key was delivered.
    Superseded dead letters are redriven only with `include_superseded`.
    """

    per_second: float = Field(default=10.0, gt=0, le=1_000)
    include_superseded: bool = False


async def body_of(request: web.Request, kind: type[_Model]) -> _Model:
    """Return the body of `request` as `kind`; a missing body is an empty object.

    Raises `ValidationError`, and `ApiError` when the client disconnects before the
    end of the body.
    """
    try:
        body = await request.read()
    except ConnectionError:
        raise ApiError(400, "The request's body is incomplete.") from None
    return kind.model_validate_json(body or b"{}")


def query_of(request: web.Request, kind: type[_Model]) -> _Model:
    """Return the query of `request` as `kind`. Raises `ValidationError`."""
    return kind.model_validate(dict(request.query))


def first_mistake(error: ValidationError) -> str:
    """Return the first mistake as a sentence without values of the request."""
    return mistakes(error)[0]
