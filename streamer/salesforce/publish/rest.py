"""Publisher over the REST API."""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import orjson

from streamer.clock import Clock
from streamer.errors import SalesforceUnavailable, StreamerError
from streamer.events import JsonObject
from streamer.exact_json import exact_json
from streamer.ports import OutgoingEvent, Published, PublishResult, Unanswered, Unpublished
from streamer.salesforce.publish.calls import refused_event, refused_topic, too_large
from streamer.salesforce.rest import RequestRefused, Rest
from streamer.salesforce.rest_requests import RestRequest, in_requests

# Most subrequests of a composite call (REST API guide, composite).
_MOST_EVENTS = 25
# Sending a larger body would block the event loop.
_MOST_BYTES = 900_000
# In a composite call, Salesforce replaces such a reference with a part of an earlier answer.
_REFERENCE = b"@{"
_OF_THE_TOPIC = frozenset({HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND})
_OF_THE_TYPE = "INVALID_TYPE"

_Body = tuple[int, bytes]


class RestPublisher:
    """Publishes events by `POST …/sobjects/TOPIC`, several in one composite call.

    REST accepts no ids. So a consumer can recognise a repeated event only by
    its fields.
    """

    def __init__(self, rest: Rest, clock: Clock, *, api_version: str, timeout_s: float) -> None:
        self._rest = rest
        self._clock = clock
        self._base = f"/services/data/v{api_version}"
        self._timeout_s = timeout_s

    async def publish(self, topic: str, events: Sequence[OutgoingEvent], /) -> Sequence[PublishResult]:
        """Publish `events`: see `streamer.ports.EventPublisher`."""
        results: dict[int, PublishResult] = {}
        bodies: list[tuple[int, _Body]] = []
        for number, event in enumerate(events):
            body = json_body(event)
            if isinstance(body, Unpublished):
                results[number] = body
            else:
                bodies.append((len(body), (number, body)))
        failure: StreamerError | None = None
        for request in in_requests(bodies, most=_MOST_EVENTS, most_bytes=_MOST_BYTES):
            for part in _without_references(request):
                if failure is None:
                    failure = await self._asked(topic, part, results)
                if failure is not None:
                    results |= {number: Unanswered(error=failure) for number, _ in part}
        return [results[number] for number in range(len(events))]

    async def _asked(
        self, topic: str, part: Sequence[_Body], results: dict[int, PublishResult]
    ) -> StreamerError | None:
        """Make one request and store the results; if there are no results, return the error."""
        try:
            async with self._clock.timeout(self._timeout_s):
                found = await self._results(topic, part)
        except TimeoutError as error:
            late = SalesforceUnavailable(f"{topic}: Salesforce did not answer in {self._timeout_s:g} s")
            late.__cause__ = error
            return late
        except StreamerError as error:
            return error
        results.update(zip((number for number, _ in part), found, strict=True))
        failed = [result.error for result in found if isinstance(result, Unanswered)]
        return failed[0] if len(failed) == len(found) else None

    async def _results(self, topic: str, part: Sequence[_Body]) -> Sequence[PublishResult]:
        if len(part) == 1:
            try:
                answer = await self._rest.ask(request_of(topic, part[0][1]))
            except RequestRefused as refused:
                return [_refusal(topic, refused.status, refused.code, str(refused))]
            return [_result(topic, HTTPStatus.CREATED, answer)]
        requests = [
            {
                "method": "POST",
                "url": f"{self._base}/{_path(topic)}",
                "referenceId": f"event{number}",
                "body": orjson.Fragment(body),
            }
            for number, body in part
        ]
        try:
            answer = await self._rest.post("composite", {"allOrNone": False, "compositeRequest": requests})
        except RequestRefused as refused:
            return [_refusal(topic, refused.status, refused.code, str(refused))] * len(part)
        answers = answer.get("compositeResponse") if isinstance(answer, dict) else None
        if not isinstance(answers, list) or len(answers) != len(part):
            raise SalesforceUnavailable(
                f"{topic}: the answer to the composite call lacks a result for some events"
            )
        return [_subresult(topic, each) for each in answers]


def json_body(event: OutgoingEvent) -> bytes | Unpublished:
    """Return the fields of `event` as JSON, or the event's refusal if JSON can't hold the fields."""
    try:
        body = exact_json(dict(event.fields))
    except (TypeError, ValueError) as error:
        reason = f"the event's fields can't be written as JSON: {error}"
        return Unpublished(code="field_refused", reason=reason, sent=False)
    return too_large(len(body)) or body


def request_of(topic: str, body: bytes) -> RestRequest:
    """Return the request that publishes one event."""
    return RestRequest(method="POST", path=_path(topic), body=body)


def _path(topic: str) -> str:
    return f"sobjects/{quote(topic, safe='')}"


def _without_references(request: Sequence[_Body]) -> Sequence[Sequence[_Body]]:
    """Split a request into parts, in order; if any event has a reference, each event is its own part."""
    if not any(_REFERENCE in body for _, body in request):
        return [request]
    return [[each] for each in request]


def _subresult(topic: str, answer: Any) -> PublishResult:
    if not isinstance(answer, dict) or not isinstance(status := answer.get("httpStatusCode"), int):
        return Unanswered(
            error=SalesforceUnavailable(
                f"{topic}: a result in the answer to the composite call has no status"
            )
        )
    return _result(topic, status, answer.get("body"))


def _result(topic: str, status: int, body: Any) -> PublishResult:
    if isinstance(body, dict) and body.get("success") is True:
        return Published(event_uuid=_event_uuid(body))
    errors = body.get("errors") if isinstance(body, dict) else body
    first = errors[0] if isinstance(errors, list) and errors else None
    if not isinstance(first, dict):
        return Unanswered(
            error=SalesforceUnavailable(f"{topic}: the answer with HTTP {status} contains no result")
        )
    code = first.get("statusCode") or first.get("errorCode") or ""
    return _refusal(topic, status, str(code), f"{code}: {first.get('message')}")


def _refusal(topic: str, status: int, code: str, message: str) -> PublishResult:
    result = refused_event(code, message)
    if result.is_transient:
        return result
    if status in _OF_THE_TOPIC or code == _OF_THE_TYPE:
        return Unanswered(error=refused_topic(topic, message))
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return Unanswered(error=SalesforceUnavailable(f"{topic}: {message[:500]}"))
    return result


def _event_uuid(body: JsonObject) -> str:
    """Return the `EventUuid`: the message of the "error" which reports that the event was enqueued."""
    errors = body.get("errors")
    for each in errors if isinstance(errors, list) else ():
        if isinstance(each, dict) and each.get("statusCode") == "OPERATION_ENQUEUED":
            return str(each.get("message", ""))[:100]
    return ""
