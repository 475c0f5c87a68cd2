"""Look-ups of records in an HTTP service."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Self
from urllib.parse import quote, urlsplit

import jmespath
import orjson
from jmespath.exceptions import JMESPathError
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from yarl import URL

from streamer.clock import Clock
from streamer.errors import RecordsRefused, RetryLater, ServiceRefused, ServiceUnavailable, Stop
from streamer.events import Delivered, Disable, Hold, JsonObject, Outcome, Reject, Retry, Skip, SubscriberName
from streamer.exact_json import OversizedJson, bounded_json
from streamer.expressions.checks import ExpressionMistake, check_expression, names_read
from streamer.expressions.evaluation import evaluation
from streamer.expressions.functions import Functions
from streamer.ports import PluginContext, Preview
from subscribers.http import (
    AddressSettings,
    Answer,
    HttpSubscriber,
    HttpTarget,
    OutcomeKind,
    Request,
    codes_in,
)

_ID = "{id}"
_FUNCTIONS = Functions()
# A missing record is a valid answer.
_ABSENT = {"404": OutcomeKind.SKIP, "410": OutcomeKind.SKIP}
_WORDS = 500

Refusable = dict[str, JsonObject | RecordsRefused]


class BatchSettings(BaseModel):
    """Request for several records, by a GET with the ids in the query or a POST with the ids in the body."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, defer_build=True)

    query: str | None = Field(
        default=None,
        min_length=1,
        description="name of the query parameter that contains the ids, separated by commas",
    )
    body: str | None = Field(
        default=None,
        min_length=1,
        description="name of the member of the JSON body that contains the ids, as a list of texts",
    )
    id: str = Field(
        default="id",
        min_length=1,
        description="name of the member that contains the id, in each record of the answer",
    )
    most: int = Field(default=50, ge=2, le=1_000, description="maximum number of ids in one request")

    @model_validator(mode="after")
    def _has_one_place(self) -> Self:
        if (self.query is None) == (self.body is None):
            raise ValueError("set only one of query and body, because the ids are sent in one place")
        return self


def _compiles(expression: str) -> str:
    try:
        # An answer can contain any names.
        check_expression(jmespath.compile(expression), _FUNCTIONS, names_read(expression))
    except JMESPathError as exc:
        raise ValueError("is not a JMESPath expression") from exc
    except ExpressionMistake as exc:
        raise ValueError(f"fails for every answer: {exc.sentence}") from exc
    return expression


class LookupServiceSettings(AddressSettings):
    """Service with the records; Streamer sends one request for each record, or with `batch`, for several."""

    url: str = Field(
        description="address of a record, with {id} for the record's id, such as "
        "https://crm.example.com/customers/{id}; with batch: the address for several records, "
        "without {id}"
    )
    result: Annotated[str, AfterValidator(_compiles)] | None = Field(
        default=None,
        description="JMESPath expression over the answer, such as data, that gives the record, or with "
        "batch the list of records; default: the whole answer",
    )
    batch: BatchSettings | None = Field(
        default=None,
        description="settings for requesting several records at once; default: one request for each record",
    )
    max_in_flight: int = Field(
        default=8, ge=1, le=100, description="maximum number of simultaneous requests, in each process"
    )

    @model_validator(mode="after")
    def _has_a_place_for_the_id(self) -> Self:
        around = self.url.replace(_ID, "", 1)
        if re.search(r"[{}]", around) or _ID in urlsplit(self.url).netloc:
            raise ValueError("url must contain {id} once, in its path or query, and no other braces")
        if self.batch is None and around == self.url:
            raise ValueError("url does not contain {id}: add it, or set batch")
        if self.batch is not None and around != self.url:
            raise ValueError(
                "url contains {id}, but batch sends the ids in another place: remove {id} from url, "
                "or remove batch"
            )
        return self


class HttpLookup(HttpSubscriber):
    """Reads the records of one service.

    A 404 or 410 for one record means that the record is missing; `outcomes` can change
    this, as for any plugin. If the service refuses a request for several records, or
    its answer is too large, each half of the ids is requested again. So one bad id does
    not prevent the other records from being read.
    """

    Settings = LookupServiceSettings
    requests_left: float | None = None

    def __init__(self, settings: LookupServiceSettings, clock: Clock) -> None:
        one_by_one = settings.batch is None
        outcomes = {**(_ABSENT if one_by_one else {}), **settings.outcomes}
        self._settings = settings
        super().__init__(
            HttpTarget(
                settings.model_copy(update={"outcomes": outcomes}),
                settings.auth,
                PluginContext(name=SubscriberName("enrich"), clock=clock),
                secrets=codes_in(settings.url),
            )
        )
        self._host = URL(settings.url.replace(_ID, "")).host
        self._result: Callable[[Any], Any] = evaluation(jmespath.compile(settings.result or "@"), _FUNCTIONS)

    @property
    def batch(self) -> int:
        """Largest number of records that one request reads."""
        return self._settings.batch.most if self._settings.batch else 1

    @property
    def max_in_flight(self) -> int:
        """Largest number of requests at the same time."""
        return self._settings.max_in_flight

    def preview(self, record_id: str, /) -> Preview:
        """Return the request for one record; see `streamer.ports.LookupService`."""
        shown = self._http.preview(self._request([record_id]))
        assert isinstance(shown, Preview)  # noqa: S101 - ids are texts, so the request can always be written as JSON
        return shown

    async def read(self, _entity: str, ids: Sequence[str], fields: Sequence[str], /) -> Refusable:
        """Return `fields` of records by id; see `streamer.ports.LookupReader`."""
        if self._settings.batch is not None and self._settings.batch.query is not None:
            unfit = [each for each in ids if "," in each]
            refused: Refusable = {
                each: _refused("the id contains a comma, but a comma separates the ids of a batch")
                for each in unfit
            }
            ids = [each for each in ids if each not in refused]
        else:
            refused = {}
        return {**refused, **(await self._part(ids, fields) if ids else {})}

    async def _part(self, ids: Sequence[str], fields: Sequence[str]) -> Refusable:
        try:
            found = await self._asked(ids)
        except RecordsRefused as refusal:
            if len(ids) == 1:
                return {ids[0]: refusal}
            half = len(ids) // 2
            return {**await self._part(ids[:half], fields), **await self._part(ids[half:], fields)}
        return {
            each: {name: record[name] for name in fields if name in record} for each, record in found.items()
        }

    async def _asked(self, ids: Sequence[str]) -> Mapping[str, JsonObject]:
        """Return the records of one request by id; raises the error of a refused or failed request."""
        answer = await self._http.send(self._request(ids))
        outcome = self._http.verdict(answer) if isinstance(answer, Answer) else answer
        if isinstance(outcome, Skip):
            return {}
        if not isinstance(outcome, Delivered) or not isinstance(answer, Answer):
            raise self._failure(outcome, words=_untold(answer) if isinstance(answer, Answer) else "")
        found = self._found(answer)
        if self._settings.batch is None:
            return {} if found is None else {ids[0]: _record(found)}
        return _by_id(found, self._settings.batch.id, ids)

    def _request(self, ids: Sequence[str]) -> Request:
        batch = self._settings.batch
        if batch is None:
            # The id is a segment of the path or a value of the query.
            return Request(method="GET", url=URL(self._settings.url.replace(_ID, quote(ids[0], safe=""))))
        url = URL(self._settings.url)
        if batch.query is not None:
            return Request(method="GET", url=url.update_query({batch.query: ",".join(ids)}))
        return Request(method="POST", url=url, body={str(batch.body): list(ids)})

    def _found(self, answer: Answer) -> Any:
        if answer.is_cut:
            raise _refused("the answer is larger than 1 MiB")
        try:
            value = bounded_json(answer.body)
        except OversizedJson as error:
            raise _refused(str(error)) from error
        except orjson.JSONDecodeError as error:
            # The answer can be, for example, a page of a proxy.
            what = f"{self._host} answered {answer.status_line}, but the answer is not JSON"
            raise ServiceUnavailable(what) from error
        try:
            return self._result(value)
        except Exception as error:
            # Expressions are an operator's code and can raise anything.
            raise _refused(f"result fails on the answer: {type(error).__name__}: {error}") from error

    def _failure(self, outcome: Outcome, *, words: str) -> RetryLater | Stop | RecordsRefused:
        match outcome:
            case Hold(alert=True):
                return ServiceRefused(f"{self._host}: {outcome.reason}")
            case Hold() | Retry():
                return ServiceUnavailable(f"{self._host}: {outcome.reason}", after_s=outcome.after_s)
            case Reject() | Disable():
                return _refused(": ".join(filter(None, (str(self._host), outcome.reason, words))))
            case _:
                return _refused(f"{self._host}: {outcome}")


def _untold(answer: Answer) -> str:
    """Return the beginning of an answer without an error message, because a verdict does not quote it."""
    return "" if answer.complaint else answer.excerpt[:_WORDS]


def _refused(message: str) -> RecordsRefused:
    return RecordsRefused(message, code="")


def _record(found: Any) -> JsonObject:
    if not isinstance(found, dict):
        raise _refused("result must give an object, but gives none for this answer")
    return found


def _by_id(found: Any, member: str, ids: Sequence[str]) -> Mapping[str, JsonObject]:
    if not isinstance(found, list):
        raise _refused("result must give a list, but gives none for this answer")
    named = {str(each.get(member)): each for each in found if isinstance(each, dict)}
    return {each: named[each] for each in ids if each in named}
