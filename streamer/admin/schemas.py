"""What may be asked, and how it is read."""

from dataclasses import replace
from typing import TypeVar

from aiohttp import web
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from streamer.controls import LetterFilter
from streamer.events import JsonObject, SubscriberName

MOST_LETTERS = 1_000
"""How many dead letters, or records of the audit, are listed at most."""

_Model = TypeVar("_Model", bound=BaseModel)


class RequestModel(BaseModel):
    """What a request says; a key that is not known is a mistake."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class Change(RequestModel):
    """A request that changes something, and by whom it is."""

    by: str = Field(default="operator", min_length=1, max_length=100)


class Pause(Change):
    """Why a subscriber is to be left alone."""

    reason: str = Field(default="", max_length=500)


class Trial(Change):
    """A test event, with `data` of its own where the subscriber's expressions need some."""

    data: JsonObject | None = None


class Last(RequestModel):
    """How many of the latest are wanted."""

    last: int = Field(default=50, ge=1, le=MOST_LETTERS)


class Letters(RequestModel):
    """Which dead letters are meant; `until` is excluded."""

    subscriber: SubscriberName | None = None
    key: str | None = None
    reason: str | None = None
    error: str | None = None
    since: AwareDatetime | None = None
    until: AwareDatetime | None = None

    def meant(self, now: float) -> LetterFilter:
        """Return those that failed before `now`."""
        until = now if self.until is None else min(now, self.until.timestamp())
        return LetterFilter(
            subscriber=self.subscriber,
            key=self.key,
            reason=self.reason,
            error=self.error,
            failed_from=None if self.since is None else self.since.timestamp(),
            failed_before=until,
        )


class Listing(Letters, Last):
    """The latest of some dead letters."""


class Chosen(Letters, Change):
    """Which dead letters something is done with, maybe by their ids; with `dry_run` they are only counted."""

    ids: tuple[str, ...] | None = Field(default=None, min_length=1, max_length=MOST_LETTERS)
    dry_run: bool = False

    def meant(self, now: float) -> LetterFilter:
        """Return those that failed before `now`."""
        return replace(super().meant(now), ids=None if self.ids is None else frozenset(self.ids))


class Redriving(Chosen):
    """Which dead letters to deliver again, and how fast.

    Those that a later event of their key has superseded are left out, unless
    `include_superseded`.
    """

    per_second: float = Field(default=10.0, gt=0, le=1_000)
    include_superseded: bool = False


async def body_of(request: web.Request, kind: type[_Model]) -> _Model:
    """Return what the body of `request` says; none at all is an empty object. Raises `ValidationError`."""
    return kind.model_validate_json(await request.read() or b"{}")


def query_of(request: web.Request, kind: type[_Model]) -> _Model:
    """Return what the query of `request` says. Raises `ValidationError`."""
    return kind.model_validate(dict(request.query))


def first_mistake(error: ValidationError) -> str:
    """Return the first of the mistakes as a sentence that repeats nothing of what was sent."""
    detail = error.errors(include_url=False, include_input=False, include_context=False)[0]
    place = ".".join(map(str, detail["loc"]))
    message = detail["msg"].removeprefix("Value error, ")
    return f"{place}: {message}" if place else message
