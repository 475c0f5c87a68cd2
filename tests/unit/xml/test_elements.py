"""Values become XML elements, within bounds, or are refused by the name of their element."""

import re
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamer.xml.elements import ElementWriter, UnfitForXml
from streamer.xml.tree import parse_xml

INSTANCE = 'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'
ANY = ElementWriter(nil=f'{INSTANCE} xsi:nil="true"')
PLAIN = ElementWriter(
    nil='xsi:nil="true"', names=re.compile(r"[a-z]+"), attributes=False, replacement=None, keeps_returns=False
)
BOTH = pytest.mark.parametrize("writer", [ANY, PLAIN], ids=["any", "plain"])


@BOTH
@pytest.mark.parametrize(
    ("value", "written"),
    [
        ({"a": "x<y & z ]]>", "b": 1}, "<a>x&lt;y &amp; z ]]&gt;</a><b>1</b>"),
        ({"a": True, "b": 1e-7, "c": Decimal("1E+3")}, "<a>true</a><b>0.0000001</b><c>1000</c>"),
        ({"a": 1e22, "b": Decimal("0.10"), "c": 12.5}, f"<a>1{22 * '0'}</a><b>0.10</b><c>12.5</c>"),
        ({"a": [1, {"b": 2}], "c": []}, "<a>1</a><a><b>2</b></a>"),
        ({"a": {}}, "<a></a>"),
    ],
)
def test_values_become_elements(writer: ElementWriter, value: dict[str, Any], written: str) -> None:
    """In their order, escaped, and without exponents."""
    assert writer.elements(value) == written


@BOTH
def test_null_is_nil(writer: ElementWriter) -> None:
    """So that a service tells an empty field from a missing one."""
    written = writer.elements({"b": None, "c": [None]})

    assert written == f"<b {writer.nil}/><c {writer.nil}/>"
    assert parse_xml(f"<a {INSTANCE}>{written}</a>".encode()).values() == {"b": None, "c": None}


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ({"A": {"@id": 'a"\n', "@no": None, "#text": "t\r"}}, '<A id="a&quot;&#10;">t&#13;</A>'),
        ({"n:A": 1, "Ä": "\x00"}, "<n:A>1</n:A><Ä>\ufffd</Ä>"),
    ],
)
def test_attributes_and_any_names_are_written(value: dict[str, Any], written: str) -> None:
    """Where the schema of a service has them."""
    assert ANY.elements(value) == written


def test_prefix_stands_on_each_name() -> None:
    """In a schema whose elements have a namespace."""
    assert ANY.elements({"A": {"B": 1, "@c": 2}}, "p") == '<p:A c="2"><p:B>1</p:B></p:A>'


@pytest.mark.parametrize(
    ("value", "refused"),
    [
        ({"a b": 1}, "'a b' is not a valid name"),
        ({"x><y": 1}, "is not a valid name"),
        ({"@a": 1}, "'@a' is not a valid name"),
        ({"a": {"#text": 1}}, "'#text' is not a valid name"),
        ({"a": "\x00"}, r"a contains the character U\+0000"),
        ({"a": [{"b": "\ud800"}]}, r"b contains the character U\+D800"),
        ({"a": [[1]]}, "a is a list"),
        ({"a": float("nan")}, "a is a float"),
    ],
)
def test_what_a_document_can_not_hold_is_refused(value: dict[str, Any], refused: str) -> None:
    """With the name of the element."""
    with pytest.raises(UnfitForXml, match=refused):
        PLAIN.elements(value)


@BOTH
def test_depth_is_bounded(writer: ElementWriter) -> None:
    """Deeper values would exhaust the stack."""
    deep: dict[str, Any] = {}
    for _ in range(5_000):
        deep = {"a": deep}

    with pytest.raises(UnfitForXml, match="more than 20 levels"):
        writer.elements(deep)


@settings(max_examples=200, deadline=None)
@given(st.text())
def test_any_text_is_read_as_it_was_written(text: str) -> None:
    """Carriage returns too, save for characters that no document can hold."""
    written = ANY.elements({"a": text})
    held = re.sub("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "\ufffd", text)

    assert parse_xml(written.encode()).content == held
