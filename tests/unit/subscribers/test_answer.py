"""Kept parts of an answer."""

import orjson
import pytest

from subscribers.http.answer import EXCERPT_BYTES, Answer


def test_excerpt_is_bounded_and_whole_characters() -> None:
    """A long body is cut where a character ends."""
    excerpt = Answer(status=500, body=b"x" + "é".encode() * EXCERPT_BYTES).excerpt

    assert len(excerpt.encode()) == EXCERPT_BYTES - 1
    assert excerpt.endswith("é")


def test_receipt_leaves_out_what_does_not_fit() -> None:
    """The number of a document survives beside its lines."""
    body = orjson.dumps({"lines": ["x" * 100] * 1000, "number": "INV-1"})

    assert Answer(status=200, body=body).receipt == {"number": "INV-1"}


@pytest.mark.parametrize("body", [b"", b"<html>", b"[1]", b"1", b'{"a":', b"\xff\xfe", b"[" * 5000])
def test_body_that_is_no_object_has_no_json(body: bytes) -> None:
    """Whatever a target sends, reading it raises nothing."""
    answer = Answer(status=200, body=body)

    assert (answer.json, answer.receipt, answer.code) == (None, {}, "")


@pytest.mark.parametrize("error", [None, 1, [], {}, {"code": None}, {"code": {"a": 1}}])
def test_error_of_an_odd_shape_has_no_code(error: object) -> None:
    """A code is a text or nothing."""
    assert Answer(status=400, body=orjson.dumps({"error": error})).code == ""


def test_status_without_a_name_is_its_number() -> None:
    """A status that no standard knows can be shown."""
    assert Answer(status=599).status_line == "599"


@pytest.mark.parametrize("padding", [0, EXCERPT_BYTES])
def test_receipt_leaves_out_what_is_nested_too_deeply_to_be_written(padding: int) -> None:
    """An answer of 300 levels can be read, and raises nothing."""
    deep = b"[" * 300 + b"]" * 300
    body = b'{"deep":%s,"number":"INV-1","long":"%s"}' % (deep, b"x" * padding)

    assert Answer(status=200, body=body).receipt["number"] == "INV-1"
    assert "deep" not in Answer(status=200, body=body).receipt
