"""JSON bytes of any parsed value."""

import json

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.exact_json import _pieces, raw_json

_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@pytest.mark.parametrize("depth", [1, 254, 400, 1000])
@pytest.mark.parametrize(("opens", "closes"), [("[", "]"), ('{"a":', "}")])
def test_everything_that_can_be_read_can_be_written(depth: int, opens: str, closes: str) -> None:
    """Orjson writes fewer levels than it reads, and `json` exhausts the stack."""
    text = opens * depth + "1" + closes * depth

    assert raw_json(orjson.loads(text)) == text.encode()


@given(_VALUES)
def test_deep_form_is_the_same_json(value: object) -> None:
    """Commas, names and nesting are in their places."""
    assert json.loads("".join(_pieces(value))) == value
