"""JSON from outside is parsed within bounds."""

import time
from typing import Any

import orjson
import pytest

from streamer.exact_json import OversizedJson, bounded_json

MB = 1024 * 1024


@pytest.mark.parametrize("value", [None, {"a": [1, "x,{"]}, [{"a": 1}] * 1_000, ["x" * 100_000] * 100])
def test_ordinary_json_is_parsed(value: Any) -> None:
    """Whatever its size."""
    assert bounded_json(orjson.dumps(value)) == value
    assert bounded_json(orjson.dumps(value).decode()) == value


@pytest.mark.parametrize("piece", [b"{},", b"[],", b"1,", b'{"":[]},', b"0.5,"])
def test_countless_values_are_refused_before_they_are_made(piece: bytes) -> None:
    """Sixteen megabytes would become five million objects."""
    began = time.thread_time()
    with pytest.raises(OversizedJson):
        bounded_json(b"[" + piece * (16 * MB // len(piece)) + b"0]")

    assert time.thread_time() - began < 0.5


@pytest.mark.parametrize("body", [b"[" * 2 * MB, b'{"a":' * MB, b"[" * 1_100 + b"]" * 1_100])
def test_deep_json_is_refused_at_once(body: bytes) -> None:
    """It never exhausts the interpreter's stack."""
    began = time.thread_time()
    with pytest.raises(ValueError, match=r"depth|recursion|arrays"):
        bounded_json(body)

    assert time.thread_time() - began < 0.5
