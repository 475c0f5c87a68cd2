"""docs/expressions.md describes every function, with examples that hold."""

import json
import re
from dataclasses import replace

import pytest

from streamer.dispatch.delivery.route import RouteSource, compile_route
from streamer.expressions.functions import Functions
from tests.deliveries import event
from tests.integration.guides.pages import page
from tests.unit.dispatch.world import TARGET, mistaken

GUIDE = page("docs/expressions.md")
ROWS = re.findall(r"^\| (`.+?`) \| .+? \| (``.+?``|`.+?`) \| `(.+?)` \|$", GUIDE, flags=re.MULTILINE)
FUNCTIONS = Functions({"countries": {"DE": "Germany"}}, {"analytics": b"0123456789abcdef"})
FIELDS = {"Amount": 19.99, "Name": "Ann Lee", "Country": "DE", "AccountId": "001A"}
WON = replace(event(subject="006A", data={"fields": FIELDS}), time="2025-01-31T12:00:00.000Z")


def test_every_function_is_described() -> None:
    """Those that JMESPath has as well included, where they differ from its own."""
    described = {name for names, *_ in ROWS for name in re.findall(r"`(\w+)\(", names)}

    assert described == set(FUNCTIONS.own)


@pytest.mark.parametrize("signature", re.findall(r"`(\w+\(.*?\))`", " ".join(row[0] for row in ROWS)))
def test_parameters_are_those_of_the_function(signature: str) -> None:
    """With their names; `…` stands for more of the last."""
    name, _, listed = signature.removesuffix(")").partition("(")
    function = FUNCTIONS.own[name]
    own = [each.name + "?" * each.is_optional for each in function.parameters]

    assert listed.removesuffix(", …").split(", ") == own
    assert listed.endswith("…") == function.is_variadic


@pytest.mark.parametrize(("expression", "value"), [row[1:] for row in ROWS])
def test_example_has_the_value_beside_it(expression: str, value: str) -> None:
    """On an event of 31 January."""
    code = expression[2:-2] if expression.startswith("``") else expression[1:-1]
    route = compile_route(TARGET, RouteSource(body={"it": code}), mistake=mistaken, functions=FUNCTIONS)

    assert route.delivery(WON, attempt=1).body == {"it": json.loads(value)}
