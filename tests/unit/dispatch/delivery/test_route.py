"""Selection and shape of events for a subscriber."""

from pathlib import Path
from typing import Any

import pytest

from streamer.app.routes import mistake_of
from streamer.configuration import load_document
from streamer.dispatch.delivery.route import RouteSource, compile_route
from streamer.errors import BrokenRoute, ConfigurationError
from streamer.events import SubscriberName
from tests.deliveries import event
from tests.unit.dispatch.world import route

WON = event(data={"entity": "Order", "fields": {"Stage": "Won", "Amount": 1234567.5, "Note": None}})


@pytest.mark.parametrize(
    ("when", "admitted"),
    [
        (None, True),
        ("data.fields.Stage == 'Won'", True),
        ("data.fields.Stage == 'Lost'", False),
        ("data.fields.Missing", False),
        ("type == 'salesforce.cdc.Order.created' && contains(data.entity, 'rd')", True),
    ],
)
def test_when_decides(when: str | None, admitted: bool) -> None:  # noqa: FBT001 - a table of cases
    """A condition on a missing field does not hold."""
    assert route(when=when).admits(WON) is admitted


def test_body_takes_its_shape_from_the_configuration() -> None:
    """Expressions at every depth; anything but a text stands for itself."""
    body = {"id": "subject", "lines": ["data.fields.Amount", {"kind": "'order'"}], "version": 2}

    assert route(body=body).delivery(WON, attempt=1).body == {
        "id": WON.subject,
        "lines": [1234567.5, {"kind": "order"}],
        "version": 2,
    }


def test_text_is_for_people() -> None:
    """Money is written with separators."""
    delivery = route(text="{{ data.entity }}: {{ data.fields.Amount | money }}").delivery(WON, attempt=3)

    assert (delivery.text, delivery.body, delivery.attempt) == ("Order: 1,234,567.50", None, 3)


def test_idempotency_key_is_the_same_on_every_attempt() -> None:
    """It names the event and the subscriber."""
    keys = {route().delivery(WON, attempt=attempt).key for attempt in (1, 2, 9)}

    assert keys == {f"{WON.id}:target"}


@pytest.mark.parametrize(
    ("key", "expressions"),
    [
        ("when", {"when": "length(data.fields.Note)"}),
        ("body", {"body": {"x": "abs(data.entity)"}}),
        ("body", {"body": {"x": "length(data.fields.Missing)"}, "keep_null": True}),
        ("text", {"text": "{{ data.fields.Missing }}", "strict": True}),
        ("text", {"text": "{{ data.fields.Missing | money }}", "strict": True}),
        ("text", {"text": "{{ data.fields.Note | money }}", "strict": True}),
        ("text", {"text": "{{ 1 / 0 }}"}),
        ("text", {"text": "{{ data.entity.encode('no such codec') }}"}),
        ("text", {"text": "{{ data.fields.Amount | dictsort }}"}),
    ],
)
def test_what_cannot_be_evaluated_is_a_broken_route(key: str, expressions: dict[str, Any]) -> None:
    """Whatever an expression does to an event, the event can be set aside."""
    broken = route(**expressions)
    with pytest.raises(BrokenRoute, match=f"^{key} fails on this event: "):
        assert broken.admits(WON) and broken.delivery(WON, attempt=1)  # noqa: PT018 - either may raise


@pytest.mark.parametrize(
    "text",
    [
        "{{ ''.__class__.__mro__ }}",
        "{{ data.__class__.__base__.__subclasses__() }}",
        "{{ data.fields.update({'Stage': 'Lost'}) }}",
        "{{ self.__init__.__globals__ }}",
        "{{ range(10000000) | list }}",
    ],
)
def test_template_reaches_no_internals(text: str) -> None:
    """A template sees the event, reads it and nothing else."""
    with pytest.raises(BrokenRoute):
        route(text=text).delivery(WON, attempt=1)
    assert WON.data["fields"]["Stage"] == "Won"


@pytest.mark.parametrize(
    ("written", "key", "sentence"),
    [
        ("when: data.fields.", "when", "is not a JMESPath expression"),
        ("when: ''", "when", "is not a JMESPath expression"),
        ("when: contians(data, 'x')", "when", "JMESPath has no such function: contians"),
        ("body: {a: {b: [subject, 'x ==']}}", "body.a.b.1", "is not a JMESPath expression"),
        ("text: '{{ data '", "text", "is not a Jinja2 template: line 1"),
        ("text: '{{ data | nonsense }}'", "text", "No filter named 'nonsense'"),
    ],
)
def test_mistake_names_file_line_and_key(tmp_path: Path, written: str, key: str, sentence: str) -> None:
    """It is found before anything connects."""
    file = tmp_path / "streamer.yaml"
    file.write_text(f"subscribers:\n  target:\n    {written}\n")
    document = load_document([file], {})
    keys = document.at(["subscribers", "target"])
    with pytest.raises(ConfigurationError) as caught:
        compile_route(
            SubscriberName("target"),
            RouteSource(when=keys.get("when"), body=keys.get("body"), text=keys.get("text")),
            mistake=lambda keys, *said: mistake_of(document, ("target", *keys), *said),
        )

    assert str(caught.value).startswith(f"{file}:3: subscribers.target.{key}: ")
    assert sentence in str(caught.value)
