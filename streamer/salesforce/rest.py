"""Client of Salesforce's REST API."""

import re
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import aiohttp
import orjson

from streamer.clock import Clock
from streamer.errors import CredentialsRefused, RetryLater, SalesforceUnavailable, StreamerError
from streamer.events import JsonObject
from streamer.exact_json import OversizedJson, bounded_json, exact_json
from streamer.known_secrets import KNOWN
from streamer.salesforce.auth.tokens import AccessToken, Tokens
from streamer.salesforce.responses import BodyTooLarge, read_body, time_of
from streamer.salesforce.rest_requests import RestOptions, RestRequest
from streamer.web.proxy import ProxyFailed, send, through
from streamer.web.reasons import connection_reason

_TIMEOUT_S = 120.0
_TEXT_LIMIT = 500
# A larger answer to a GET is a page of records, so its content comes from the org.
_SMALL = 64 * 1024
_LONGEST_WAIT_S = 3600.0
# An Apex method threw an exception: the service works, and describes the failure.
_APEX_ERROR = "APEX_ERROR"
_USAGE = re.compile(r"api-usage=(\d{1,12})/(\d{1,12})", re.ASCII)


class RequestRefused(StreamerError):
    """Salesforce understood the request and refused it: the caller decides how to react.

    `status` is the HTTP status. `code` is Salesforce's error code, such as
    `NOT_FOUND` or `MALFORMED_QUERY`, or empty.
    """

    def __init__(self, message: str, *, status: int, code: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class AnswerTooLarge(SalesforceUnavailable):
    """The answer has more bytes or values than the caller accepts: request less at once."""


class AnswerTooLate(SalesforceUnavailable):
    """The answer did not arrive in time: the request can be too large."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RestResponse:
    """Answer with any status. Names of `headers` are found in any letter case."""

    status: int
    body: bytes
    retry_after: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def refuses_token(self) -> bool:
        """True if a new token can help."""
        return self.status == HTTPStatus.UNAUTHORIZED


SignedRequest = Callable[[AccessToken], RestRequest]
"""Builds a request that contains the access token; it is called again for each try."""


class Rest:
    """Client of one org's REST API. It renews a refused token once.

    Each call raises `SalesforceUnavailable` if the answer is missing or is a server
    error. Then it is unknown whether a change was made. Each call raises
    `RetryLater` if the org has used up its requests, `CredentialsRefused` if the
    login or a new token is refused, and `RequestRefused` for every other failure.
    An answer of more than `answer_bytes` is not read and counts as missing
    (`AnswerTooLarge`).
    """

    def __init__(
        self,
        http: aiohttp.ClientSession,
        tokens: Tokens,
        clock: Clock,
        *,
        api_version: str = "64.0",
        answer_bytes: int = 16 * 1024 * 1024,
        client: str | None = None,
    ) -> None:
        self._options = RestOptions(api_version=api_version, client=client)
        self._http = http
        self._tokens = tokens
        self._clock = clock
        self._answer_bytes = answer_bytes
        self._requests_left: float | None = None
        self._ahead_s = 0.0

    @property
    def api_version(self) -> str:
        """Version of the API, such as `64.0`."""
        return self._options.api_version

    @property
    def requests_left(self) -> float | None:
        """Share of the org's daily requests that was left at the last answer; `None` if still unknown."""
        return self._requests_left

    @property
    def ahead_s(self) -> float:
        """Seconds by which Salesforce's clock was ahead of ours, by the last answer with a date."""
        return self._ahead_s

    async def get(self, path: str, **parameters: str) -> Any:
        """Return the JSON at `path`, which starts with `/services/` or is relative to the API version."""
        return await self.ask(RestRequest(method="GET", path=path, query=parameters))

    async def post(self, path: str, body: Mapping[str, Any] | orjson.Fragment) -> Any:
        """Send `body` to `path` and return the JSON of the answer."""
        return await self.ask(RestRequest(method="POST", path=path, body=exact_json(body)))

    async def patch(self, path: str, body: Mapping[str, Any]) -> Any:
        """Change the resource at `path`; return the JSON of the answer, or `None` if the answer is empty."""
        return await self.ask(RestRequest(method="PATCH", path=path, body=exact_json(body)))

    async def delete(self, path: str) -> Any:
        """Delete the resource at `path`; return the JSON of the answer, or `None` if the answer is empty."""
        return await self.ask(RestRequest(method="DELETE", path=path))

    async def ask(self, request: RestRequest, *, answer_bytes: int | None = None) -> Any:
        """Return the JSON of the answer, at most `answer_bytes` long, or `None` if the answer is empty."""
        answer = await self.exchange(request, answer_bytes=answer_bytes)
        if answer.status >= HTTPStatus.BAD_REQUEST:
            raise refusal(str(request), answer)
        try:
            return bounded_json(answer.body) if answer.body else None
        except OversizedJson as exc:
            raise AnswerTooLarge(f"{request} failed: {exc}") from exc
        except orjson.JSONDecodeError as exc:
            raise SalesforceUnavailable(f"the answer to {request} is not JSON") from exc

    async def query(self, soql: str, *, resource: str = "query") -> AsyncGenerator[JsonObject, None]:
        """Yield every record that matches `soql`, page by page.

        A caller that stops early closes the iterator.

        `resource` is `query`, or another resource with the same interface, such as
        `tooling/query`.
        """
        page = await self.get(resource, q=soql)
        while True:
            for record in _records(page, soql):
                yield record
            if page.get("done", True):
                return
            following = page.get("nextRecordsUrl")
            if not isinstance(following, str):
                raise SalesforceUnavailable(
                    f"a page of the query is not the last page, but does not name the next page: {soql}"
                )
            page = await self.get(following)

    async def retrieve(self, sobject: str, record_id: str, fields: Sequence[str] = ()) -> JsonObject:
        """Return one record, with all its fields or only with `fields`."""
        path = f"sobjects/{quote(sobject, safe='')}/{quote(record_id, safe='')}"
        record: JsonObject = await self.get(path, **({"fields": ",".join(fields)} if fields else {}))
        return record

    async def limits(self) -> dict[str, dict[str, int]]:
        """Return the org's limits by name, each with `Max` and `Remaining`."""
        limits: dict[str, dict[str, int]] = await self.get("limits")
        return limits

    async def exchange(
        self,
        request: RestRequest | SignedRequest,
        *,
        refuses_token: Callable[[RestResponse], bool] = lambda answer: answer.refuses_token,
        on_sent: Callable[[], None] | None = None,
        answer_bytes: int | None = None,
    ) -> RestResponse:
        """Return the answer with any status. Try once more with a new token if `refuses_token` says so.

        The client calls `on_sent` when the network has taken the whole body.
        `answer_bytes` replaces the client's own limit. Raises the errors of the
        login, and `SalesforceUnavailable` if no answer arrives.
        """
        most = self._answer_bytes if answer_bytes is None else answer_bytes
        token = await self._tokens.token()
        answer = await self._exchange(token, request, on_sent, most)
        if refuses_token(answer):
            token = await self._tokens.refreshed(token)
            answer = await self._exchange(token, request, on_sent, most)
        return answer

    async def _exchange(
        self,
        token: AccessToken,
        request: RestRequest | SignedRequest,
        on_sent: Callable[[], None] | None,
        answer_bytes: int,
    ) -> RestResponse:
        signed = request if isinstance(request, RestRequest) else request(token)
        headers = self._options.headers(signed, token.access_token)
        url = self._options.address(signed, token.instance_url)
        sending = _sending(signed.body, headers, on_sent)
        try:
            async with (
                self._clock.timeout(_TIMEOUT_S),
                await send(self._http, signed.method, url, proxy=token.proxy, **sending) as response,
            ):
                # Read the date before a long body, which would make the date seem old.
                self._note_time(response)
                body = await read_body(response, self._clock, limit=answer_bytes, idle_s=_TIMEOUT_S)
        except TimeoutError as exc:
            raise AnswerTooLate(
                f"Salesforce did not answer {signed} in {_TIMEOUT_S:g} s{through(token.proxy)}"
            ) from exc
        except BodyTooLarge as exc:
            raise AnswerTooLarge(f"{signed} failed: {exc}") from exc
        except (aiohttp.ClientError, OSError, ProxyFailed) as exc:
            raise SalesforceUnavailable(f"{signed} failed: {connection_reason(exc)}") from exc
        if signed.method != "GET" or response.status >= HTTPStatus.BAD_REQUEST or len(body) <= _SMALL:
            # A proxy or an Apex method can return the request, and with it the token.
            body = KNOWN.hidden_bytes(body)
        told = response.headers
        self._note_usage(told.get("Sforce-Limit-Info", ""))
        return RestResponse(
            status=response.status, body=body, retry_after=told.get("Retry-After"), headers=told
        )

    def _note_time(self, response: aiohttp.ClientResponse) -> None:
        if (stated := time_of(response)) is not None:
            self._ahead_s = stated - self._clock.now()

    def _note_usage(self, info: str) -> None:
        usage = _USAGE.search(info)
        if usage is not None and int(usage[2]):
            self._requests_left = max(0.0, 1.0 - int(usage[1]) / int(usage[2]))


def _sending(
    body: bytes | None, headers: Mapping[str, str], on_sent: Callable[[], None] | None
) -> dict[str, Any]:
    """Return the options of an aiohttp request."""
    if body is None or on_sent is None:
        return {"headers": headers, "data": body}

    async def whole() -> AsyncIterator[bytes]:
        yield body
        on_sent()

    return {"headers": {**headers, "Content-Length": str(len(body))}, "data": whole()}


def _records(page: Any, soql: str) -> list[JsonObject]:
    records = page.get("records", []) if isinstance(page, dict) else None
    if not isinstance(records, list) or not all(isinstance(each, dict) for each in records):
        raise SalesforceUnavailable(f"the answer to the query has no records: {soql}")
    return records


def refusal(request: str, answer: RestResponse) -> StreamerError:
    """Return the error for an `answer` that refuses a request."""
    code, message = _error(answer.body)
    said = f"{request} was refused with HTTP {answer.status} {code} {message}".strip()
    if answer.status == HTTPStatus.UNAUTHORIZED:
        return new_token_refused(said)
    if answer.status == HTTPStatus.GATEWAY_TIMEOUT:
        return AnswerTooLate(said, after_s=_seconds(answer.retry_after))
    if answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR and code != _APEX_ERROR:
        return SalesforceUnavailable(said, after_s=_seconds(answer.retry_after))
    if code == "REQUEST_LIMIT_EXCEEDED" or answer.status == HTTPStatus.TOO_MANY_REQUESTS:
        return RetryLater(
            f"{said}: the org has reached its limit of API requests", after_s=_seconds(answer.retry_after)
        )
    return RequestRefused(said, status=answer.status, code=code)


def new_token_refused(said: str) -> CredentialsRefused:
    """Return the error for a new token that was refused; `said` describes the request and the reason."""
    return CredentialsRefused(
        f"{said}, although the access token was new: check the access of the user and of the app"
    )


def _error(body: bytes) -> tuple[str, str]:
    # The form is `[{"errorCode": …, "message": …}]`; the first error says most.
    try:
        parsed = bounded_json(body)
    except ValueError:
        return "", ""
    first = parsed[0] if isinstance(parsed, list) and parsed else parsed
    if not isinstance(first, dict):
        return "", ""
    return str(first.get("errorCode", "")), str(first.get("message", ""))[:_TEXT_LIMIT]


def _seconds(retry_after: str | None) -> float | None:
    return min(float(retry_after), _LONGEST_WAIT_S) if retry_after and retry_after.isdecimal() else None
