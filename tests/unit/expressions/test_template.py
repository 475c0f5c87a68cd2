"""Texts for people about events that do not carry every field."""

import jinja2
import pytest
from defusedxml.ElementTree import fromstring

from streamer.dispatch.delivery.route import RouteSource, compile_route
from streamer.errors import BrokenRoute
from streamer.events import SubscriberName
from streamer.expressions.functions import FunctionFailed
from streamer.expressions.templates import compile_content, compile_template
from tests.deliveries import event
from tests.unit.dispatch.world import mistaken

DOCUMENT = {"subject": "006", "data": {"fields": {"Stage": "Won", "Amount": 1250, "Note": None}}}


def rendered(source: str, *, strict: bool = False) -> str:
    """Return the text that `source` makes of the document."""
    return compile_template(source, strict=strict)(DOCUMENT)


@pytest.mark.parametrize(
    "source",
    [
        "{{ data.fields.Missing }}",
        "{{ data.fields.Missing | money }}",
        "{{ data.fields.Missing | round(1) }}",
        "{{ data.fields.Missing | upper | truncate(3) }}",
        "{{ data.fields.Missing | tojson }}",
        "{{ data.fields.Missing | int }}",
        "{{ data.fields.Missing | map(attribute='x') | join(', ') }}",
        "{{ '%.2f' | format(data.fields.Missing) }}",
        "{{ '%.2f' % data.fields.Missing }}",
        "{{ '{:.2f}'.format(data.fields.Missing) }}",
        "{{ data.fields.Missing.Inner.Deeper[0] }}",
        "{{ data.fields.Missing.upper() }}",
        "{{ data.fields.Missing * 2 + 1 }}",
        "{{ 1 - data.fields.Missing }}",
        "{{ -data.fields.Missing }}",
        "{% if data.fields.Missing > 3 or data.fields.Missing <= 3 %}x{% endif %}",
        "{% for each in data.fields.Missing %}x{% endfor %}",
        "{{ data.fields.Note }}",
        "{{ data.fields.Note | money }}",
        "{{ data.fields.Note | round | string }}",
        "{{ data.fields.Note.Inner | money }}",
    ],
)
def test_absent_and_cleared_fields_are_empty(source: str) -> None:
    """An ordinary update fails no text."""
    assert rendered(f"<{source}>") == "<>"


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("{{ data.fields.Missing | money | default('unchanged') }}", "unchanged"),
        ("{{ data.fields.Note | money | default('none', true) }}", "none"),
        ("{{ data.fields.Amount | money | default('unchanged') }}", "1,250.00"),
        ("{{ data.fields.Missing is defined }}", "False"),
        ("{{ data.fields.keys() | join(' ') }}", "Stage Amount Note"),
        ("{{ data.fields.Note is none }}", "True"),
        ("{{ 'Amount' in data.fields }}", "True"),
        ("{{ data.fields.Amount * 2 }}", "2500"),
        ("{{ '%.1f' % data.fields.Amount }}", "1250.0"),
    ],
)
def test_template_can_tell_and_can_say_something_else(source: str, text: str) -> None:
    """`default` is for absent fields, and with `true` for cleared ones."""
    assert rendered(source) == text


@pytest.mark.parametrize(
    "source",
    ["{{ data.fields.Missing }}", "{{ data.fields.Missing | money }}", "{{ data.fields.Note | money }}"],
)
def test_strict_brings_the_errors_back(source: str) -> None:
    """For a text that must not go out with a gap."""
    with pytest.raises((jinja2.UndefinedError, TypeError)):
        rendered(source, strict=True)


def test_strict_text_may_name_a_default() -> None:
    """And a cleared field is empty there as well."""
    source = "{{ data.fields.Missing | default('unchanged') }}{{ data.fields.Note }}"

    assert rendered(source, strict=True) == "unchanged"


def content(source: str, media_type: str = "application/xml", *, strict: bool = False) -> str:
    """Return the content that `source` makes of a document that is full of surprises."""
    fields = {"Name": 'A & <B> "c"\x00\x0b', "Rate": 1e-07, "Won": True, "Big": 2**60, "Lines": [{"a": 1}]}
    return compile_content(source, media_type, strict=strict)({"subject": "006", "data": {"fields": fields}})


@pytest.mark.parametrize("media_type", ["application/xml", "text/xml; charset=utf-8", "application/soap+xml"])
def test_values_are_escaped_in_xml(media_type: str) -> None:
    """And what no XML document can hold is replaced: the target can read it, whatever a record holds."""
    made = content('<a b="{{ data.fields.Name }}">{{ data.fields.Name }}</a>', media_type)

    parsed = fromstring(made)
    assert (parsed.get("b"), parsed.text) == ('A & <B> "c"\ufffd\ufffd',) * 2


@pytest.mark.parametrize(
    ("source", "made"),
    [
        (
            "{{ data.fields.Rate }} {{ data.fields.Won }} {{ data.fields.Big }}",
            "0.0000001 true 1152921504606846976",
        ),
        ("{{ upper('a&b') }}", "A&B"),
        ("{{ multiply(data.fields.Big, '1.1') }}", "1268213655067531673.6"),
        ("[{{ upper(data.fields.Missing) }}]", "[]"),
        ("[{{ data.fields.Missing }}]", "[]"),
        ("{% if data.fields.Missing is defined %}x{% endif %}", ""),
        ("{{ data.fields.Lines | tojson }}", '[{"a": 1}]'),
    ],
)
def test_content_is_written_for_programs(source: str, made: str) -> None:
    """Booleans and numbers as programs read them, and the functions of expressions."""
    assert content(source, "text/plain") == made


@pytest.mark.parametrize(
    ("source", "error"),
    [
        ("{{ data.fields.Lines }}", "the value is an object or a list, not a text"),
        ("{{ upper(data.fields.Won) }}", "upper\\(\\): argument 1"),
        ("{% for a in range(9000) %}{{ pad_left('x', 9000) }}{% endfor %}", "more than 1,000,000 characters"),
    ],
)
def test_content_is_bounded(source: str, error: str) -> None:
    """In memory, too."""
    with pytest.raises((ValueError, TypeError, FunctionFailed), match=error):
        content(source)


@pytest.mark.parametrize("source", ["{{ data.fields.Missing }}", "{{ upper(data.fields.Missing) }}"])
def test_strict_content_names_the_absent_field(source: str) -> None:
    """For a document that must not go out with a gap."""
    with pytest.raises(jinja2.UndefinedError, match="Missing"):
        content(source, strict=True)


def test_dead_letter_of_an_absent_field_names_part_line_field_and_remedy() -> None:
    """Jinja2's own sentence names none of them but the field."""
    source = RouteSource(text="Deal\n{{ data.fields.Missing | upper }}", strict=True)
    compiled = compile_route(SubscriberName("sales"), source, mistake=mistaken)

    with pytest.raises(BrokenRoute) as broken:
        compiled.delivery(event(data={"fields": {}}), attempt=1)
    assert str(broken.value).startswith(
        "text fails on this event: line 2 of its template: the event does not have Missing, and strict is "
        "true: put {% if … is defined %} around the expression"
    )


def test_long_text_is_cut_before_it_takes_memory() -> None:
    """A person reads no more than 100,000 characters."""
    source = "{% for a in range(99999) %}{% for b in range(99999) %}xxxxxxxxxx{% endfor %}{% endfor %}"

    assert len(rendered(source)) == 100_000
