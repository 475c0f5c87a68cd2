"""SOAP: digests of passwords, and the reading of any answer."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from subscribers.soap.answer import read_answer, value_at
from subscribers.soap.security import password_digest

ANSWER = b"""<?xml version="1.0"?>
<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/">
  <e:Header><m:Number xmlns:m="urn:x">not this</m:Number></e:Header>
  <e:Body>
    <m:CreateResponse xmlns:m="urn:x">
      <m:Other><m:Number>O-1</m:Number></m:Other>
      <m:Invoice state="open">
        <m:Number> INV-1 </m:Number><m:Lines><m:Line>1</m:Line><m:Line>2</m:Line></m:Lines>
      </m:Invoice>
      <m:Note xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:nil="true"/>
    </m:CreateResponse>
  </e:Body>
</e:Envelope>"""
APPLICATION_FAULT = (
    b'<e:Envelope xmlns:e="http://www.w3.org/2003/05/soap-envelope"><e:Body>'
    b'<m:Fault xmlns:m="urn:geology"><m:Depth>12</m:Depth></m:Fault></e:Body></e:Envelope>'
)


def test_digest_is_that_of_others() -> None:
    """The example of the published articles on UsernameTokens."""
    digest = password_digest(
        "taadtaadpstcsm", nonce=b"d36e316282959a9ed4c89851497a717f", created="2003-12-15T14:43:07Z"
    )

    assert digest == "quR/EWLAV4xLf9Zqyw4pDmfV9OY="


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("Number", "O-1"),
        ("Invoice/Number", "INV-1"),
        ("CreateResponse/Invoice/Number", "INV-1"),
        ("Invoice/@state", "open"),
        ("Lines", {"Line": ["1", "2"]}),
        ("Note", None),
        ("Invoice/Line", None),
        ("Invoice/@none", None),
        ("Nothing", None),
    ],
)
def test_path_finds_the_first_value(path: str, value: Any) -> None:
    """Anywhere in the body, and never in the header."""
    answer = read_answer(ANSWER)

    assert answer is not None
    assert value_at(answer.body, path) == value
    assert answer.receipt({"found": path}) == ({} if value is None else {"found": value})


def test_receipt_without_paths_has_the_members_of_the_answer() -> None:
    """Of its first element."""
    answer = read_answer(ANSWER)

    assert answer is not None
    assert answer.receipt({})["Other"] == {"Number": "O-1"}


def test_element_that_is_called_a_fault_is_none() -> None:
    """In a namespace of the service's own."""
    answer = read_answer(APPLICATION_FAULT)

    assert answer is not None
    assert answer.fault is None


def test_fault_without_anything_in_it_is_a_fault() -> None:
    """However a service leaves it empty."""
    answer = read_answer(b"<Envelope><Body><Fault/></Body></Envelope>")

    assert answer is not None
    assert str(answer.fault) == "without a code"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<html/>",
        b"<Envelope/>",
        ANSWER[:-5],
        b'<!DOCTYPE a [<!ENTITY b "cccc">]><Envelope><Body>&b;</Body></Envelope>',
        b"<Envelope><Body>" + b"<a>" * 30 + b"</a>" * 30 + b"</Body></Envelope>",
        b"<Envelope><Body>" + b"<a/>" * 50_001 + b"</Body></Envelope>",
        b'<?xml version="1.0" encoding="utf-7"?><Envelope><Body/></Envelope>',
    ],
)
def test_anything_else_is_no_answer(content: bytes) -> None:
    """Document types, entities, and too much of anything among it."""
    assert read_answer(content) is None


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300), st.integers(0, len(ANSWER)))
def test_torn_answers_raise_nothing(noise: bytes, at: int) -> None:
    """Bytes in the middle of a good answer, and bytes alone."""
    for content in (noise, ANSWER[:at] + noise + ANSWER[at:]):
        answer = read_answer(content)
        if answer is not None:
            answer.receipt({"number": "Invoice/Number"})
            answer.receipt({})
