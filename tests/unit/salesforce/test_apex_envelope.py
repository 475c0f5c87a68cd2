"""Envelopes of Apex web services are written and read within bounds."""

from decimal import Decimal
from typing import Any

import pytest
from defusedxml.ElementTree import fromstring

from streamer.ports import Answered, ApexSoapCall, WriteRefused
from streamer.salesforce.apex_envelope import answer_of, arguments_of, call_envelope
from streamer.xml.elements import UnfitForXml

SOAP = "http://schemas.xmlsoap.org/soap/envelope/"
OWN = "{http://soap.sforce.com/schemas/class/acme/Invoices}"


def written(arguments: dict[str, Any], *, client: str | None = "acme-bus") -> Any:
    """Return the root of the envelope of a call."""
    call = ApexSoapCall(apex_class="acme/Invoices", method="confirm", arguments=arguments)
    return fromstring(call_envelope(call, arguments_of(call), session_id="00D!secret", client=client))


def answer(content: str) -> bytes:
    """Return an envelope around `content`."""
    start = f'<e:Envelope xmlns:e="{SOAP}" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">'
    return f"{start}<e:Body>{content}</e:Body></e:Envelope>".encode()


def test_headers_and_method_are_in_the_namespace_of_the_class() -> None:
    """As its WSDL has them."""
    root = written({"number": "7"})

    assert root.findtext(f".//{OWN}SessionHeader/{OWN}sessionId") == "00D!secret"
    assert root.findtext(f".//{OWN}CallOptions/{OWN}client") == "acme-bus"
    assert root.findtext(f"{{{SOAP}}}Body/{OWN}confirm/{OWN}number") == "7"
    assert written({}, client=None).find(f".//{OWN}CallOptions") is None


def test_arguments_become_elements_of_the_class() -> None:
    """Objects and lists too; null is nil, and a text is written as it is."""
    arguments = {"lines": [{"sku": "A<&\r"}, {"sku": None}], "amount": Decimal("1E+2"), "paid": True}
    call = ApexSoapCall(apex_class="acme/Invoices", method="confirm", arguments=arguments)

    assert call_envelope(call, arguments_of(call), session_id="00D!secret", client=None).endswith(
        b"<soapenv:Body><confirm><lines><sku>A&lt;&amp;\r</sku></lines>"
        b'<lines><sku xsi:nil="true"/></lines><amount>100</amount><paid>true</paid></confirm>'
        b"</soapenv:Body></soapenv:Envelope>"
    )
    assert [each.text for each in written(arguments).iter(f"{OWN}sku")] == ["A<&\n", None]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"n:a": 1}, "'n:a' is not a valid name"),
        ({"\u00e4": 1}, "is not a valid name"),
        ({"a": {"@b": 1}}, "'@b' is not a valid name"),
        ({"a": "\x00"}, r"a contains the character U\+0000"),
        ({"a": [[1]]}, "a is a list"),
    ],
)
def test_what_apex_can_not_take_is_refused(arguments: dict[str, Any], named: str) -> None:
    """With the name of the argument."""
    with pytest.raises(UnfitForXml, match=named):
        written(arguments)


def test_result_of_a_method_is_read() -> None:
    """Nothing is `None`, and an object is one."""
    said = "<confirmResponse><result><number>7</number><paid xsi:nil='true'/></result></confirmResponse>"

    assert answer_of(answer(said)) == Answered(value={"number": "7", "paid": None})
    assert answer_of(answer("<confirmResponse/>")) == Answered(value=None)


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ("<faultcode>sf:INVALID_SESSION_ID</faultcode>", "INVALID_SESSION_ID"),
        ("<faultcode>e:Client</faultcode>", "Client"),
        (
            "<faultcode>e:Client</faultcode><detail><f><exceptionCode>SERVER_UNAVAILABLE</exceptionCode></f></detail>",
            "SERVER_UNAVAILABLE",
        ),
        ("", ""),
    ],
)
def test_code_of_a_fault_is_read(fault: str, code: str) -> None:
    """From its detail, or else from the fault's own code."""
    found = answer_of(answer(f"<e:Fault>{fault}<faultstring>no\n luck</faultstring></e:Fault>"))

    assert found == WriteRefused(code=code, message="no luck")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>busy</html>",
        b"\xff\xfe",
        answer(""),
        b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>',
        b"<a>" * 1_000,
        answer("<r><result>" + "<x>" * 30 + "</x>" * 30 + "</result></r>"),
        answer("<r>" + "<x/>" * 60_000 + "</r>"),
    ],
)
def test_what_is_no_answer_is_none(body: bytes) -> None:
    """Whatever bytes come."""
    assert answer_of(body) is None
