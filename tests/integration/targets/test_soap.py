"""An ERP over SOAP."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
import zeep
from aiohttp import web
from zeep.wsse.username import UsernameToken

from streamer.clock import SystemClock, TurnedClock
from streamer.events import (
    Content,
    Delivered,
    Delivery,
    Disable,
    FailureClass,
    Hold,
    Outcome,
    Reject,
    Retry,
    Skip,
)
from streamer.ports import Preview
from streamer.sandbox.targets import SoapErpReceiver, SoapFault
from streamer.sandbox.targets.receiver import Receiver
from subscribers.erp import Erp
from tests.deliveries import ORDER, context, delivery, event

NAMESPACE = "urn:acme:erp:invoices"
PASSWORD = 'p<ä>ss"&word'
BODY = {"Reference": ORDER, "Customer": "Müller & Söhne <GmbH>", "Amount": 12.5}
ENVELOPE = """
<?xml version="1.0" encoding="UTF-8"?>
<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/">
  <s:Header>{{ security }}</s:Header>
  <s:Body>
    <i:CreateInvoice xmlns:i="{{ namespace }}">
      <i:RequestId>{{ delivery_key }}</i:RequestId>
      <i:Reference>{{ subject }}</i:Reference>
      <i:Customer>{{ body.Customer }}</i:Customer>
      <i:Amount>{{ body.Amount }}</i:Amount>
      {%- for line in body.Lines %}
      <i:Line>{{ line | elements('i') }}</i:Line>
      {%- endfor %}
    </i:CreateInvoice>
  </s:Body>
</s:Envelope>
"""


@pytest.fixture
async def erp(clock: TurnedClock) -> AsyncIterator[SoapErpReceiver]:
    """Run an ERP over SOAP."""
    async with SoapErpReceiver(clock) as receiver:
        yield receiver


def soap(**more: Any) -> dict[str, Any]:
    """Return settings that fit the service, with `more`."""
    usual = {
        "operation": "CreateInvoice",
        "namespace": NAMESPACE,
        "action": f"{NAMESPACE}/CreateInvoice",
        "key_element": "RequestId",
        "result": {"number": "InvoiceNumber", "state": "CreateInvoiceResponse/Status"},
    }
    return usual | more


async def deliver(
    receiver: SoapErpReceiver,
    *deliveries: Delivery,
    soap: Mapping[str, Any],
    clock: TurnedClock | None = None,
    **settings: Any,
) -> list[Outcome]:
    """Return the outcomes of `deliveries`, one after the other."""
    read = Erp.Settings.model_validate({"url": receiver.service_url, "soap": soap, **settings})
    async with Erp(read, context(clock or TurnedClock())) as plugin:
        return [await plugin.deliver(each) for each in deliveries]


@pytest.mark.parametrize("version", ["1.1", "1.2"])
@pytest.mark.parametrize("security", [None, "text", "digest"])
async def test_invoice_is_created_and_its_number_kept(
    erp: SoapErpReceiver, version: str, security: str | None
) -> None:
    """In both versions, and with each kind of password that the service checks."""
    more: dict[str, Any] = {"version": version}
    if security is not None:
        erp.require_user("streamer", PASSWORD)
        token = {"username": "streamer", "password": PASSWORD, "password_type": security, "timestamp_s": 60}
        more["security"] = token
    [outcome] = await deliver(erp, delivery(key="invoice:1", body=BODY), soap=soap(**more))

    assert outcome == Delivered(answer={"number": "INV-000001", "state": "created"})
    invoice = {"Reference": ORDER, "Customer": "Müller & Söhne <GmbH>", "Amount": "12.5"}
    assert erp.invoices[ORDER]["invoice"] == invoice
    assert erp.journal[0].key == "invoice:1"


async def test_lost_answer_makes_no_second_invoice(erp: SoapErpReceiver) -> None:
    """The element with the key tells the service that it has done this before."""
    erp.faults.lose_answers = 1
    lost, repeated = await deliver(
        erp, delivery(key="1", body=BODY), delivery(key="1", body=BODY), soap=soap()
    )

    assert isinstance(lost, Retry)
    assert repeated == Delivered(answer={"number": "INV-000001", "state": "created"})
    assert erp.invoices[ORDER]["version"] == 1


@pytest.mark.parametrize("version", ["1.1", "1.2"])
async def test_fault_of_a_duplicate_can_be_a_delivery(erp: SoapErpReceiver, version: str) -> None:
    """With the number that its detail holds."""
    erp.refuses_duplicates = True
    rule = {"code": "Client.DuplicateRequest", "then": "delivered"}
    same = delivery(key="1", body=BODY)
    first, second = await deliver(
        erp, same, same, soap=soap(version=version, faults=[rule], result={"number": "InvoiceNumber"})
    )

    assert first == second == Delivered(answer={"number": "INV-000001"})


async def test_envelope_of_ones_own_escapes_what_an_event_holds(erp: SoapErpReceiver) -> None:
    """A template decides about every element."""
    erp.require_user("streamer", PASSWORD)
    body = {"Customer": "<i:Amount>0</i:Amount>", "Amount": 5, "Lines": [{"Product": "A&B", "Quantity": 2}]}
    settings = {
        "namespace": NAMESPACE,
        "envelope": ENVELOPE,
        "security": {"username": "streamer", "password": PASSWORD},
        "result": {"number": "InvoiceNumber"},
    }
    [outcome] = await deliver(erp, delivery(key="1", body=body), soap=settings)

    assert outcome == Delivered(answer={"number": "INV-000001"})
    invoice = erp.invoices[ORDER]["invoice"]
    assert (invoice["Customer"], invoice["Amount"]) == ("<i:Amount>0</i:Amount>", "5")
    assert invoice["Line"] == [{"Product": "A&B", "Quantity": "2"}]


async def test_deletion_calls_its_own_operation(erp: SoapErpReceiver) -> None:
    """And without a setting none."""
    gone = delivery(event("salesforce.cdc.Order.deleted"), key="2", body={"Reference": ORDER})
    more = soap(delete_operation="CancelInvoice", delete_action=f"{NAMESPACE}/CancelInvoice", result={})
    [skipped] = await deliver(erp, gone, soap=more)
    _, cancelled = await deliver(erp, delivery(key="1", body=BODY), gone, soap=more, deletions="delete")

    assert isinstance(skipped, Skip)
    assert cancelled == Delivered(answer={"InvoiceNumber": "INV-000001", "Status": "cancelled"})
    assert erp.invoices[ORDER]["state"] == "cancelled"


FAULTS: list[tuple[SoapFault, type[Outcome], FailureClass | None]] = [
    (SoapFault("Client", "no"), Reject, FailureClass.REJECTED),
    (SoapFault("Client", "no", subcode="InvalidInvoice"), Reject, FailureClass.REJECTED),
    (SoapFault("Server", "later"), Retry, FailureClass.HTTP_5XX),
    (SoapFault("Server", "later", subcode="Busy"), Retry, FailureClass.HTTP_5XX),
    (SoapFault("Odd", "what?"), Retry, FailureClass.HTTP_5XX),
    (SoapFault("MustUnderstand", "what?"), Hold, FailureClass.HTTP_5XX),
    (SoapFault("Client", "who?", subcode="Authentication"), Hold, FailureClass.REFUSED_CREDENTIALS),
]


@pytest.mark.parametrize(("fault", "kind", "failure"), FAULTS)
@pytest.mark.parametrize("version", ["1.1", "1.2"])
async def test_fault_has_the_outcome_of_its_code(
    erp: SoapErpReceiver, version: str, fault: SoapFault, kind: type[Outcome], failure: FailureClass
) -> None:
    """Its code and text are in the reason."""
    erp.next_fault = fault
    [outcome] = await deliver(erp, delivery(body=BODY), soap=soap(version=version))

    assert type(outcome) is kind
    assert not isinstance(outcome, Delivered | Skip)
    assert outcome.failure is failure
    assert fault.code == "Odd" or fault.text in outcome.reason
    assert getattr(outcome, "alert", None) in {None, True}


@pytest.mark.parametrize(("fault", "kind", "_failure"), FAULTS)
async def test_fault_with_status_200_is_a_fault(
    erp: SoapErpReceiver, fault: SoapFault, kind: type[Outcome], _failure: FailureClass
) -> None:
    """Some services know no other status."""
    erp.next_fault, erp.fault_status = fault, 200
    [outcome] = await deliver(erp, delivery(body=BODY), soap=soap())

    assert type(outcome) is kind


@pytest.mark.parametrize(
    ("rule", "kind"),
    [
        ({"code": "PeriodClosed", "then": "hold"}, Hold),
        ({"code": "Sender.PeriodClosed", "then": "retry"}, Retry),
        ({"code": "soap:Client", "then": "skip"}, Skip),
        ({"text": "^the period .* is closed$", "then": "disable"}, Disable),
        ({"detail": r"\bsince 2025\b", "then": "delivered"}, Delivered),
        ({"code": "PeriodClosed", "text": "opened", "then": "hold"}, Reject),
        ({"code": "Period", "then": "hold"}, Reject),
        ({"code": "Server", "then": "hold"}, Reject),
    ],
)
@pytest.mark.parametrize("version", ["1.1", "1.2"])
async def test_rule_gives_a_fault_its_outcome(
    erp: SoapErpReceiver, version: str, rule: dict[str, str], kind: type[Outcome]
) -> None:
    """By code, text and detail; what no rule matches has its default."""
    detail = "<Closed>since 2025</Closed>"
    text = "the period up to 2025 is closed"
    erp.next_fault = SoapFault("Client", text, subcode="PeriodClosed", detail=detail)
    [outcome] = await deliver(erp, delivery(body=BODY), soap=soap(version=version, faults=[rule]))

    assert type(outcome) is kind
    assert getattr(outcome, "after_s", 60.0) in {60.0, None}


async def test_wrong_password_holds_the_target(erp: SoapErpReceiver) -> None:
    """No event is a dead letter for it, and an operator is told."""
    erp.require_user("streamer", "another")
    for kind in ("text", "digest"):
        token = {"username": "streamer", "password": PASSWORD, "password_type": kind}
        [outcome] = await deliver(erp, delivery(body=BODY), soap=soap(security=token))

        assert isinstance(outcome, Hold)
        assert outcome.alert
        assert outcome.failure is FailureClass.REFUSED_CREDENTIALS
        assert "FailedAuthentication" in outcome.reason
        assert "check soap.security" in outcome.reason


async def test_token_is_new_in_each_envelope(erp: SoapErpReceiver, clock: TurnedClock) -> None:
    """A service refuses a nonce that it has seen, and a time that is long ago."""
    erp.require_user("streamer", PASSWORD)
    token = {"username": "streamer", "password": PASSWORD, "password_type": "digest", "timestamp_s": 60}
    read = Erp.Settings.model_validate({"url": erp.service_url, "soap": soap(security=token)})
    async with Erp(read, context(clock)) as plugin:
        outcomes = [await plugin.deliver(delivery(key="1", body=BODY))]
        await clock.turn(3_600.0)
        outcomes.append(await plugin.deliver(delivery(key="2", body=BODY)))

    assert [type(each) for each in outcomes] == [Delivered, Delivered]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("a text", "the body is not an object"),
        ({"a b": 1}, "'a b' is not a valid name of an element"),
        ({"Amount": Decimal("NaN")}, "Amount is a Decimal, but must be a text or a number"),
        ({"Line": {"#text": {}}}, "#text is a dict, but must be a text or a number"),
        ({"Line": [[1]]}, "Line is a list, but must be a text"),
    ],
)
async def test_body_that_xml_cannot_carry_is_a_dead_letter(
    erp: SoapErpReceiver, body: Any, reason: str
) -> None:
    """It names the element, and nothing is sent."""
    [outcome] = await deliver(erp, delivery(body=body), soap=soap())

    assert isinstance(outcome, Reject)
    assert reason in outcome.reason
    assert not outcome.sent
    assert len(erp.journal) == 0


async def test_characters_that_xml_cannot_carry_are_replaced(erp: SoapErpReceiver) -> None:
    """As in a template: a stray control character costs no event."""
    body = {**BODY, "Customer": "a\x0bb\ud800"}
    [outcome] = await deliver(erp, delivery(body=body), soap=soap())

    assert isinstance(outcome, Delivered)
    assert erp.invoices[ORDER]["invoice"]["Customer"] == "a\ufffdb\ufffd"


@pytest.mark.parametrize("version", ["1.1", "1.2"])
def test_preview_shows_the_envelope_without_its_secrets(version: str) -> None:
    """As `streamer render` prints it."""
    security = {"username": "streamer", "password": PASSWORD}
    settings = {"url": "https://e.com", "soap": soap(version=version, security=security)}
    preview = Erp(Erp.Settings.model_validate(settings), context(TurnedClock())).preview(delivery(body=BODY))

    assert isinstance(preview, Preview)
    assert preview.request == "POST https://e.com"
    assert b">***</wsse:Password>" in preview.content
    assert preview.headers["Content-Type"].startswith(("text/xml", "application/soap+xml"))


async def test_content_is_no_envelope(erp: SoapErpReceiver) -> None:
    """It has no place for the security header, and the settings have a template of their own."""
    content = replace(delivery(), content=Content(data=b"<a/>", type="application/xml"))
    [outcome] = await deliver(erp, content, soap=soap())

    assert isinstance(outcome, Reject)
    assert "soap.envelope" in outcome.hint


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("<a>", "the envelope is invalid (not well-formed XML at line 1"),
        ("<a/>", "not create an envelope with a body"),
        ("{{ body | elements }}", "the filter elements needs an object"),
        ("{{ 1 // 0 }}", "soap.envelope fails on this event: ZeroDivisionError"),
    ],
)
async def test_template_that_fails_is_a_dead_letter(erp: SoapErpReceiver, template: str, reason: str) -> None:
    """Only an envelope is ever sent."""
    [outcome] = await deliver(erp, delivery(body="x"), soap={"envelope": template})

    assert isinstance(outcome, Reject)
    assert reason in outcome.reason
    assert not outcome.sent


class EchoingReceiver(Receiver):
    """Receiver that answers with the envelope that it gets, in an encoding of its own, or quoted in JSON."""

    def __init__(self, encoding: str) -> None:
        super().__init__(TurnedClock())
        self._encoding = encoding

    def routes(self) -> list[web.RouteDef]:
        """Return the one route."""
        return [web.post("/soap", self._echo)]

    async def _echo(self, request: web.Request) -> web.Response:
        text = await request.text()
        if self._encoding == "json":
            return web.json_response({"request": text}, status=500)
        return web.Response(body=text.encode(self._encoding), status=500, content_type="text/xml")


@pytest.mark.parametrize("kind", ["text", "digest"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-16-le", "utf-16-be", "json"])
async def test_secrets_of_an_envelope_are_taken_out_of_its_answer(kind: str, encoding: str) -> None:
    """Also where the encoding of the answer hides them."""
    token = {"username": "streamer", "password": PASSWORD, "password_type": kind}
    async with EchoingReceiver(encoding) as receiver:
        settings = {"url": f"{receiver.url}/soap", "soap": {"operation": "Create", "security": token}}
        async with Erp(Erp.Settings.model_validate(settings), context(TurnedClock())) as plugin:
            outcome = await plugin.deliver(delivery(body=BODY))

    assert isinstance(outcome, Retry)
    assert ">***<" in outcome.answer
    assert "&amp;word" not in outcome.answer


async def test_zeep_finds_the_receiver_to_be_a_service() -> None:
    """A client that is not ours reads its WSDL, calls it with a digest, and understands its faults."""

    def call(address: str, port: str, password: str) -> Any:
        token = UsernameToken("streamer", password, use_digest=True)
        client = zeep.Client(f"{address}?wsdl", wsse=token, port_name=port)
        with client.transport.session:
            return client.service.CreateInvoice(RequestId=port, Reference="R", Amount="1.5")

    async with SoapErpReceiver(SystemClock()).require_user("streamer", PASSWORD) as erp:
        for port in ("Soap11", "Soap12"):
            answer = await asyncio.to_thread(call, erp.service_url, port, PASSWORD)
            assert answer.InvoiceNumber == "INV-000001"
            with pytest.raises(zeep.exceptions.Fault, match="could not be authenticated"):
                await asyncio.to_thread(call, erp.service_url, port, "wrong")
