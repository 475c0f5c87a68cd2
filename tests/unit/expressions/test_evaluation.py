"""A compiled expression has the same value as in jmespath's interpreter."""

from typing import Any

import jmespath
from hypothesis import given

from streamer.expressions.evaluation import evaluation
from streamer.expressions.functions import Functions
from tests.unit.expressions.jmespath_cases import DOCUMENTS, EXPRESSIONS, found_by


@given(EXPRESSIONS, DOCUMENTS)
def test_compiled_expression_finds_what_jmespath_finds(expression: str, document: dict[str, Any]) -> None:
    """With the same type: `true` is not 1."""
    compiled = jmespath.compile(expression)
    found = found_by(evaluation(compiled, Functions()), document)

    assert repr(found) == repr(found_by(compiled.search, document))
