"""Texts for people, of events that do not carry every field."""

import jinja2
import pytest

from streamer.dispatch.attempt.template import compile_template

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
