"""SOAP ERP receiver: invoices by their reference, over SOAP 1.1 and 1.2."""

from collections import OrderedDict
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from itertools import count
from typing import Any, Self
from xml.etree.ElementTree import Element
from xml.sax.saxutils import escape

from aiohttp import web

from streamer.clock import Clock
from streamer.events import JsonObject
from streamer.sandbox.targets.invoice_wsdl import INVOICES, wsdl
from streamer.sandbox.targets.receiver import Receiver
from streamer.sandbox.targets.soap_messages import (
    FaultResponse,
    SoapFault,
    answer,
    fault,
    namespace_of,
    read_request,
)
from streamer.sandbox.targets.username_tokens import UsernameTokens

_MOST_DONE = 100_000
_NIL = "{http://www.w3.org/2001/XMLSchema-instance}nil"
# The elements of each operation, in the order of its schema, and the required elements.
_CREATE = ("RequestId", "Reference", "Customer", "Amount", "Currency", "PostingDate", "Line")
_CANCEL = ("RequestId", "Reference")
_REQUIRED = {
    "CreateInvoice": ("RequestId", "Reference", "Amount"),
    "CancelInvoice": ("RequestId", "Reference"),
}
_ORDER = {"CreateInvoice": _CREATE, "CancelInvoice": _CANCEL}


class SoapErpReceiver(Receiver):
    """Serves `CreateInvoice` and `CancelInvoice` at `service_url`, whose WSDL is at `?wsdl`.

    An invoice with a new reference gets the next number; an invoice that is written
    again gets its next version. A request with a repeated `RequestId` gets the first
    answer again or, with `refuses_duplicates`, the fault `DuplicateRequest`, whose
    detail has the number. An invoice with a date up to `closed_until` gets the fault
    `PeriodClosed`. After `require_user`, requests need a UsernameToken. While
    `next_fault` is set, it is the answer to every request, with the status
    `fault_status` or the usual status.
    """

    def __init__(self, clock: Clock, *, port: int = 0) -> None:
        super().__init__(clock, port=port)
        self.invoices: dict[str, JsonObject] = {}
        self.refuses_duplicates = False
        self.closed_until = ""
        self.next_fault: SoapFault | None = None
        self.fault_status: int | None = None
        self._users: UsernameTokens | None = None
        self._numbers = count(1)
        self._done: OrderedDict[str, tuple[JsonObject, JsonObject]] = OrderedDict()

    @property
    def service_url(self) -> str:
        """Address of the service."""
        return f"{self.url}/soap/invoices"

    def require_user(self, username: str, password: str) -> Self:
        """Refuse requests without a UsernameToken of this user."""
        self._users = UsernameTokens(self._clock, username=username, password=password)
        return self

    def routes(self) -> list[web.RouteDef]:
        """Return the routes of the service and its WSDL."""
        return [web.get("/soap/invoices", self._wsdl), web.post("/soap/invoices", self._call)]

    def is_exempt(self, request: web.Request) -> bool:
        """Return true for a request for the WSDL."""
        return request.method == "GET"

    def accepts(self, response: web.StreamResponse) -> bool:
        """Return true for an answer that is not a fault, whatever its status."""
        return super().accepts(response) and not isinstance(response, FaultResponse)

    async def _wsdl(self, _: web.Request) -> web.Response:
        return web.Response(text=wsdl(self.service_url), content_type="text/xml")

    async def _call(self, request: web.Request) -> web.Response:
        namespace = namespace_of(request)
        if self.next_fault is not None:
            return fault(namespace, self.next_fault, status=self.fault_status)
        try:
            asked = read_request(request, await request.read())
            if self._users is not None:
                self._users.check(asked.headers)
            operation = _operation(asked.operation, asked.action)
            done = self._once(operation, _values(asked.operation, operation))
        except SoapFault as failed:
            return fault(namespace, failed, status=self.fault_status)
        return answer(namespace, _written(f"{operation}Response", done))

    def _once(self, operation: str, values: JsonObject) -> JsonObject:
        asked = {"operation": operation, **values}
        known = self._done.get(values["RequestId"])
        if known is None:
            done = self._created(values) if operation == "CreateInvoice" else self._cancelled(values)
            self._done[values["RequestId"]] = asked, done
            if len(self._done) > _MOST_DONE:
                self._done.popitem(last=False)
            return done
        if known[0] != asked:
            raise SoapFault(
                "Client", "another request has already used the RequestId", subcode="RequestIdReused"
            )
        if self.refuses_duplicates:
            raise SoapFault(
                "Client",
                "the service has already processed the request",
                subcode="DuplicateRequest",
                detail=_written("DuplicateRequest", known[1]),
            )
        return known[1]

    def _created(self, values: JsonObject) -> JsonObject:
        if self.closed_until and values.get("PostingDate", "") <= self.closed_until:
            raise SoapFault(
                "Client", f"the period up to {self.closed_until} is closed", subcode="PeriodClosed"
            )
        known = self.invoices.get(values["Reference"])
        number = known["number"] if known else f"INV-{next(self._numbers):06d}"
        kept = {name: value for name, value in values.items() if name != "RequestId"}
        self.invoices[values["Reference"]] = {
            "number": number,
            "version": known["version"] + 1 if known else 1,
            "state": "open",
            "invoice": kept,
        }
        return {"InvoiceNumber": number, "Status": "updated" if known else "created"}

    def _cancelled(self, values: JsonObject) -> JsonObject:
        known = self.invoices.get(values["Reference"])
        if known is None:
            raise SoapFault("Client", "no invoice has this reference", subcode="NoSuchInvoice")
        known["state"] = "cancelled"
        return {"InvoiceNumber": known["number"], "Status": "cancelled"}


def _operation(element: Element, action: str) -> str:
    namespace, _, name = element.tag.removeprefix("{").rpartition("}")
    if namespace != INVOICES or name not in _ORDER:
        raise SoapFault("Client", "the service has no such operation")
    if action not in {"", f"{INVOICES}/{name}"}:
        raise SoapFault("Client", "the action does not match the operation")
    return name


def _values(element: Element, operation: str) -> JsonObject:
    """Return the values of an operation, checked against its schema."""
    found: JsonObject = {}
    place = 0
    for child in element:
        name = child.tag.removeprefix(f"{{{INVOICES}}}")
        if name not in _ORDER[operation][place:]:
            raise _invalid(f"the element {name} is not allowed at this place")
        place = _ORDER[operation].index(name)
        if name == "Line":
            found.setdefault(name, []).append(_texts(child))
        elif name in found:
            raise _invalid(f"the element {name} appears twice")
        else:
            found[name] = None if child.get(_NIL) in {"true", "1"} else child.text or ""
    for name in _REQUIRED[operation]:
        if not found.get(name):
            raise _invalid(f"the element {name} is missing")
    _check_amount(found)
    return found


def _texts(line: Element) -> JsonObject:
    return {child.tag.removeprefix(f"{{{INVOICES}}}"): child.text or "" for child in line}


def _check_amount(values: Mapping[str, Any]) -> None:
    try:
        Decimal(values.get("Amount", "0"))
    except InvalidOperation:
        raise _invalid("the Amount is not a decimal number") from None


def _invalid(text: str) -> SoapFault:
    return SoapFault("Client", text, subcode="InvalidInvoice")


def _written(name: str, values: JsonObject) -> str:
    members = "".join(f"<{key}>{escape(value)}</{key}>" for key, value in values.items())
    return f'<{name} xmlns="{INVOICES}">{members}</{name}>'
