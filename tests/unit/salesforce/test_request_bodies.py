"""Requests stay within Salesforce's limits."""

from decimal import Decimal

import pytest

from streamer.exact_json import exact_json
from streamer.salesforce.rest_requests import in_requests


def test_request_has_so_many_events_and_bytes_at_most() -> None:
    """In the order of the events, none left out."""
    items = [(size, number) for number, size in enumerate([3, 3, 3, 9, 1, 1, 1, 1])]

    assert list(in_requests(items, most=3, most_bytes=8)) == [[0, 1], [2], [3], [4, 5, 6], [7]]


def test_nothing_makes_no_request() -> None:
    """An empty one would only cost a call."""
    assert list(in_requests([], most=3, most_bytes=8)) == []


def test_decimal_keeps_its_digits() -> None:
    """A float would not; and a value that is not a number is refused."""
    assert exact_json({"a": Decimal("0.1000000000000000000001")}) == b'{"a":0.1000000000000000000001}'
    with pytest.raises(TypeError, match="Decimal"):
        exact_json({"a": Decimal("nan")})
