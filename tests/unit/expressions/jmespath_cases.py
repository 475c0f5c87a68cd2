"""Expressions and documents for tests against jmespath's own interpreter."""

from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

EXPRESSIONS = st.sampled_from(
    [
        "a.b",
        "a[0].b",
        "a[*].b",
        "a[].b",
        "a.*.b",
        "a[?b > `1`].b",
        "a[1:].b",
        "a && b",
        "!a",
        "a == b",
        "a < b",
        "a >= `2`",
        "a != b",
        "a || b",
        "contains(to_array(a), b)",
        "contains(to_string(a), to_string(b))",
        "starts_with(to_string(a), to_string(b))",
        "ends_with(to_string(a), to_string(b))",
        "!(a == b)",
        "map(&b, to_array(a))",
        "{x: a, y: b}",
        "[a, b]",
        "not_null(a, b)",
        "a | b",
        "type(a)",
        "*",
        "*[]",
    ]
)

DOCUMENTS = st.fixed_dictionaries(
    dict.fromkeys(
        "ab",
        st.recursive(
            st.none() | st.booleans() | st.integers(0, 3) | st.text("xy", max_size=2),
            lambda inner: (
                st.lists(st.fixed_dictionaries({"b": inner}), min_size=1, max_size=3)
                | st.fixed_dictionaries({"b": inner})
            ),
            max_leaves=6,
        ),
    )
)


def found_by(search: Callable[[Any], Any], document: dict[str, Any]) -> Any:
    """Return what `search` finds, or the type of its error: jmespath compares no text with a number."""
    try:
        return search(document)
    except TypeError:
        return TypeError
