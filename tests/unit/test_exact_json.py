"""Numbers keep their digits from the wire to the target."""

import time
from decimal import Decimal
from typing import Any

import orjson
import pytest

from streamer.dispatch.delivery.route import RouteSource, compile_route
from streamer.events import Event
from streamer.exact_json import exact_json, exact_value, raw_json
from streamer.log.kafka.cluster.names import Names
from streamer.log.kafka.cluster.topic_naming import TopicNaming
from streamer.log.kafka.records.events import EventEncoder, decode
from streamer.log.records.events import decode_event, encode_event
from streamer.protection.treatments import canonical_text
from streamer.salesforce.cometd.protocol import parse
from tests.deliveries import event
from tests.unit.dispatch.world import TARGET, mistaken

STATES = "salesforce.state.{name}"

WRITTEN = "12345678901234567.89"
MONEY = Decimal(WRITTEN)


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("12.5", 12.5),
        ("12", 12),
        ("0.1", 0.1),
        ("1e3", 1000.0),
        ("1.2345678901234568E16", 1.2345678901234568e16),
        (WRITTEN, MONEY),
        ("-0.12345678901234567891", Decimal("-0.12345678901234567891")),
        ("9223372036854775808", 2**63),
        ("123456789012345678901", Decimal(123456789012345678901)),
        ("1" * 60, float("1" * 60)),
        ("1.00000000000000000001e300", 1e300),
        ('"12345678901234567.89"', WRITTEN),
    ],
)
def test_number_is_a_decimal_only_where_a_double_loses_a_digit(written: str, value: Any) -> None:
    """Whatever stands around it."""
    (found,) = exact_value(f"[{written}]".encode())

    assert (found, type(found)) == (value, type(value))


def test_what_is_no_json_is_refused_as_ever() -> None:
    """With orjson's own error."""
    with pytest.raises(orjson.JSONDecodeError):
        exact_value(b'{"a": 12345678901234567.89')


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (1e16, "10000000000000000"),
        (1.2345678901234568e16, "12345678901234568"),
        (1.5e-7, "0.00000015"),
        (12.5, "12.5"),
        (-1e16, "-10000000000000000"),
        (MONEY, WRITTEN),
        (Decimal("12345678901234567890e5"), "1234567890123456789000000"),
        (Decimal("-12345678901234567890e-29"), "-0.00000000012345678901234567890"),
        ("5e10", '"5e10"'),
    ],
)
def test_number_is_written_without_an_exponent(value: Any, written: str) -> None:
    """Many targets read no others."""
    number = written.encode()
    assert exact_json({"a": [value]}) == b'{"a":[' + number + b"]}"
    assert exact_json({"id": "0004d3a1-7b0e-3e5f: 1e", "a": value}).endswith(b'"a":' + number + b"}")
    assert exact_json(value) == number
    assert exact_json([1, value], indented=True) == b"[\n  1,\n  " + number + b"\n]"


def test_text_with_a_digit_before_an_e_costs_no_more_than_another() -> None:
    """Most events have such an id, and an exponent is looked for in each."""

    def cpu_s(last: str) -> float:
        values = {"id": f"0004d3a1-7b0{last}-3{last}5f", "fields": {f"n{n}": f"{n} words" for n in range(50)}}
        began = time.thread_time()
        for _ in range(500):
            exact_json(values)
        return time.thread_time() - began

    assert min(cpu_s("e") for _ in range(5)) < 4 * min(cpu_s("f") for _ in range(5))


def test_text_of_many_digits_and_es_is_written_in_little_time() -> None:
    """However many numbers with an exponent it looks like."""
    began = time.thread_time()
    exact_json(["0e" * 500_000, "0" * 1_000_000 + "e"])
    assert time.thread_time() - began < 0.5


def an_event() -> Event:
    """Return an event as CometD brings it."""
    body = b'[{"data": {"fields": {"Amount": ' + WRITTEN.encode() + b', "Small": 2.5}}}]'
    return event(data=parse(body).messages[0]["data"])


def test_digits_pass_the_logs() -> None:
    """Both of them, and a dead letter."""
    given = an_event()
    encoder = EventEncoder(
        Names(
            prefix="streamer",
            naming=TopicNaming(template="{kind}.{name}"),
            state_template="salesforce.state.{name}",
        ),
        "binary",
    )
    record = encoder.encode(given, 0)

    assert decode(record.key, record.value, record.read_headers).data == given.data
    assert decode_event(encode_event(given)).data["fields"] == {"Amount": MONEY, "Small": 2.5}
    assert WRITTEN.encode() in raw_json(given.data)


@pytest.mark.parametrize(
    ("source", "made"),
    [
        ({"body": {"amount": "data.fields.Amount"}}, {"amount": MONEY}),
        ({"body": "to_string(data.fields.Amount)"}, WRITTEN),
        ({"body": "to_string(data.fields)"}, '{"Amount":' + WRITTEN + ',"Small":2.5}'),
        ({"body": "to_string(`1.2345678901234568e16`)"}, "12345678901234568"),
        ({"body": "format('{} EUR', data.fields.Amount)"}, f"{WRITTEN} EUR"),
        ({"body": "data.fields.Amount > `12345678901234567`"}, True),
        ({"text": "{{ data.fields.Amount | money }}"}, "12,345,678,901,234,567.89"),
        ({"text": "{{ 2.675 | money }} {{ '12.5' | money }}"}, "2.68 12.50"),
        ({"text": "{{ 1e16 | money }}"}, "10,000,000,000,000,000.00"),
        ({"text": "{{ data.fields.Amount }} {{ 1.2345678901234568e16 }}"}, f"{WRITTEN} 12345678901234568"),
        ({"text": "{{ 'is ' ~ 1e16 }}, {{ 1e16 | string }}"}, "is 10000000000000000, 10000000000000000"),
        ({"text": "{{ [1e16, 2] | join(' ') }}"}, "10000000000000000 2"),
        ({"content": "{{ data.fields.Amount }}"}, WRITTEN),
    ],
)
def test_digits_pass_expressions_and_templates(source: dict[str, Any], made: Any) -> None:
    """Money is not rounded because a target wants it as text."""
    delivery = compile_route(TARGET, RouteSource(**source), mistake=mistaken).delivery(an_event(), attempt=1)
    content = delivery.content.data.decode() if delivery.content else None

    assert (content or delivery.text or delivery.body) == made


def test_masked_and_hashed_numbers_are_their_digits() -> None:
    """An equal number has the same hash whatever it was read as."""
    assert canonical_text(MONEY) == WRITTEN
    assert canonical_text(Decimal("12.50")) == canonical_text(12.5)
