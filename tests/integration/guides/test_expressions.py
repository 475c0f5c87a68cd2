"""docs/expressions.md describes every function, with examples and configurations that hold."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from streamer.app.plan import plan
from streamer.clock import TurnedClock
from streamer.configuration import load_document
from streamer.dispatch.attempt.functions import Functions
from streamer.dispatch.attempt.route import RouteSource, compile_route
from tests.deliveries import event
from tests.integration.guides.pages import commands, page, parse
from tests.unit.dispatch.world import TARGET, mistaken

GUIDE = page("docs/expressions.md")
ROWS = re.findall(r"^\| (`.+?`) \| .+? \| (``.+?``|`.+?`) \| `(.+?)` \|$", GUIDE, flags=re.MULTILINE)
FUNCTIONS = Functions({"countries": {"DE": "Germany"}}, {"analytics": b"0123456789abcdef"})
FIELDS = {"Amount": 19.99, "Name": "Ann Lee", "Country": "DE", "AccountId": "001A"}
WON = replace(event(subject="006A", data={"fields": FIELDS}), time="2025-01-31T12:00:00.000Z")
ORG = """\
org:
  login_url: https://acme.my.salesforce.com
  auth: {flow: client_credentials, client_id: app, client_secret: sesame}
channels: [/data/ChangeEvents]
"""


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


@pytest.mark.parametrize("block", re.findall(r"^```yaml\n(.*?)^```", GUIDE, flags=re.MULTILINE | re.DOTALL))
def test_configuration_is_good(tmp_path: Path, block: str) -> None:
    """With the files that it names."""
    (tmp_path / "countries.csv").write_text("code,name\nDE,Germany\n")
    (tmp_path / "hash-key").write_text("0123456789abcdef")
    whole = f"{ORG}{block.replace('/run/secrets/streamer/', '')}"
    (tmp_path / "streamer.yaml").write_text(whole)

    assert plan(load_document([tmp_path / "streamer.yaml"]), TurnedClock()).routes


@pytest.mark.parametrize("line", commands(GUIDE))
def test_command_is_one(line: str) -> None:
    """As the command line reads it."""
    parse(line)
