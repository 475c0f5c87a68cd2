"""Calls of an org's Apex methods, over REST and SOAP."""

from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from streamer.clock import Clock
from streamer.errors import SalesforceUnavailable, StreamerError
from streamer.exact_json import bounded_json, exact_json
from streamer.ports import Answered, ApexRestCall, ApexSoapCall, CallResult, Unanswered, WriteRefused
from streamer.salesforce.apex_envelope import answer_of, arguments_of, call_envelope, is_uncoded
from streamer.salesforce.auth.tokens import AccessToken
from streamer.salesforce.rest import RequestRefused, Rest, RestResponse, new_token_refused, refusal
from streamer.salesforce.rest_requests import RestRequest
from streamer.xml.elements import UnfitForXml

_OF_THE_METHOD = frozenset({HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED})
_TEXT_LIMIT = 20_000
# Over SOAP, an expired session is a fault with this code; no guide gives its HTTP status.
_SESSION_ENDED = "INVALID_SESSION_ID"
# HTTP statuses of faults (SOAP 1.1, section 6.2; SOAP 1.2, part 2, section 7.5).
_OF_FAULTS = frozenset({HTTPStatus.BAD_REQUEST, HTTPStatus.INTERNAL_SERVER_ERROR})


class ApexCaller:
    """Calls methods that Apex classes expose as `@RestResource` or `webservice`."""

    def __init__(self, rest: Rest, clock: Clock, *, client: str | None, timeout_s: float) -> None:
        self._rest = rest
        self._clock = clock
        self._client = client
        self._timeout_s = timeout_s

    async def call(self, call: ApexRestCall | ApexSoapCall, on_sent: Callable[[], None]) -> CallResult:
        """Call a method: see `streamer.ports.OrgWriter`."""
        named = call.path if isinstance(call, ApexRestCall) else f"{call.apex_class}.{call.method}"
        try:
            async with self._clock.timeout(self._timeout_s):
                if isinstance(call, ApexRestCall):
                    return await self._over_rest(call, on_sent)
                return await self._over_soap(call, on_sent)
        except (UnfitForXml, TypeError) as error:
            return unwritable(error)
        except TimeoutError as error:
            late = SalesforceUnavailable(f"{named} got no answer in {self._timeout_s:g} s")
            late.__cause__ = error
            return Unanswered(error=late)
        except StreamerError as error:
            return Unanswered(error=error)

    async def _over_rest(self, call: ApexRestCall, on_sent: Callable[[], None]) -> CallResult:
        request = rest_request(call)
        answer = await self._rest.exchange(request, on_sent=on_sent)
        if answer.status >= HTTPStatus.BAD_REQUEST:
            return _refused(str(request), answer)
        return Answered(value=_value(answer.body))

    async def _over_soap(self, call: ApexSoapCall, on_sent: Callable[[], None]) -> CallResult:
        # Encode the arguments before the login, so that an invalid argument needs no login.
        arguments = arguments_of(call)

        def signed(token: AccessToken) -> RestRequest:
            return soap_request(call, arguments, session_id=token.access_token, client=self._client)

        answer = await self._rest.exchange(signed, refuses_token=_session_ended, on_sent=on_sent)
        request = f"POST {_soap_path(call)}"
        if _session_ended(answer):
            raise new_token_refused(_told(request, answer))
        found = answer_of(answer.body)
        is_success = answer.status < HTTPStatus.BAD_REQUEST
        if isinstance(found, WriteRefused):
            if is_success or answer.status in _OF_FAULTS or not is_uncoded(found.code):
                return found
            return _refused(f"{request} ({found.message})", answer, sets_status=False)
        if not is_success:
            return _refused(request, answer, sets_status=False)
        if found is not None:
            return found
        raise SalesforceUnavailable(f"the answer to {request} is not a SOAP envelope") from ValueError()


def rest_request(call: ApexRestCall) -> RestRequest:
    """Return the request of `call`. Raises `TypeError` if JSON can't hold the body."""
    return RestRequest(
        method=call.method,
        path=f"/services/apexrest/{call.path}",
        query=call.query,
        body=None if call.body is None else exact_json(call.body),
    )


def soap_request(call: ApexSoapCall, arguments: str, *, session_id: str, client: str | None) -> RestRequest:
    """Return the request of `call` with the XML elements `arguments`. Raises `UnfitForXml`."""
    return RestRequest(
        method="POST",
        path=_soap_path(call),
        headers={"Content-Type": "text/xml; charset=UTF-8", "SOAPAction": '""'},
        body=call_envelope(call, arguments, session_id=session_id, client=client),
    )


def unwritable(error: UnfitForXml | TypeError) -> WriteRefused:
    """Return the result of a call whose body can't be sent because of `error`."""
    return WriteRefused(
        code="UNWRITABLE", message=f"the body of the call can't be written: {error}", sent=False
    )


def _soap_path(call: ApexSoapCall) -> str:
    return f"/services/Soap/class/{call.apex_class}"


def _refused(request: str, answer: RestResponse, *, sets_status: bool = True) -> CallResult:
    """Return the result for an `answer` without a fault; `sets_status` is true for a method over REST."""
    error = refusal(request, answer)
    if not isinstance(error, RequestRefused):
        return Unanswered(error=error)
    return WriteRefused(
        # Without Salesforce's code, the method chose the status itself, and its answer says more.
        code=error.code or f"HTTP_{answer.status}",
        message=str(error),
        answer=_excerpt(answer.body),
        is_general=(bool(error.code) or not sets_status) and answer.status in _OF_THE_METHOD,
    )


def _session_ended(answer: RestResponse) -> bool:
    if answer.refuses_token or _SESSION_ENDED.encode() not in answer.body:
        return answer.refuses_token
    # Check the code only: a method's exception can quote an expired session, and must not be called again.
    fault = answer_of(answer.body)
    return isinstance(fault, WriteRefused) and fault.code == _SESSION_ENDED


def _told(request: str, answer: RestResponse) -> str:
    fault = answer_of(answer.body)
    message = fault.message if isinstance(fault, WriteRefused) else ""
    return f"{request} was refused with HTTP {answer.status} {message}".strip()


def _value(body: bytes) -> Any:
    if not body:
        return None
    try:
        return bounded_json(body)
    except ValueError:
        return _excerpt(body)


def _excerpt(body: bytes) -> str:
    return body[:_TEXT_LIMIT].decode("utf-8", "replace")
