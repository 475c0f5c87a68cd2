"""Envelopes of Apex web services are written and read within bounds."""

from decimal import Decimal
from typing import Any

import pytest
from defusedxml.ElementTree import fromstring

from streamer.ports import Answered, ApexSoapCall, WriteRefused
from streamer.salesforce.write.envelope import UnwritableArgument, answer_of, call_envelope

SOAP = "http://schemas.xmlsoap.org/soap/envelope/"
OWN = "{http://soap.sforce.com/schemas/class/acme/Invoices}"


def written(arguments: dict[str, Any], *, client: str | None = "acme-bus") -> Any:
    """Return the root of the envelope of a call."""
    call = ApexSoapCall(apex_class="acme/Invoices", method="confirm", arguments=arguments)
    return fromstring(call_envelope(call, session_id="00D!secret", client=client))


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


@pytest.mark.parametrize(
    ("number", "text"),
    [(Decimal("1E+2"), "100"), (1e22, "1" + 22 * "0"), (Decimal("0.10"), "0.10"), (7, "7"), (12.5, "12.5")],
)
def test_number_has_no_exponent(number: Any, text: str) -> None:
    """An `xsd:decimal` has none."""
    assert written({"number": number}).findtext(f".//{OWN}number") == text


def test_text_stays_text() -> None:
    """Markup in a value is none."""
    text = "</number><x>&amp; ]]> \u00e4"

    assert written({"number": text}).findtext(f".//{OWN}number") == text


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"a b": 1}, "'a b' is no name"),
        ({"x><y": 1}, "is no name"),
        ({"a": "\x00"}, r"a holds the character U\+0000"),
        ({"a": [{"b": "\ud800"}]}, r"b holds the character U\+D800"),
        ({"a": [[1]]}, "a is a list of lists"),
    ],
)
def test_what_xml_can_not_carry_is_refused(arguments: dict[str, Any], named: str) -> None:
    """With the name of the argument."""
    with pytest.raises(UnwritableArgument, match=named):
        written(arguments)


def test_deep_arguments_are_refused() -> None:
    """They would exhaust the stack."""
    deep: dict[str, Any] = {}
    for _ in range(5_000):
        deep = {"a": deep}
    with pytest.raises(UnwritableArgument, match="too deeply"):
        written(deep)


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
        answer("<r>" + "<x/>" * 60_000 + "</r>"),
    ],
)
def test_what_is_no_answer_is_none(body: bytes) -> None:
    """Whatever bytes come."""
    assert answer_of(body) is None
