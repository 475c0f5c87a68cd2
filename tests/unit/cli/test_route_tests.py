"""`streamer test`: tests of the configuration, run without an org, a log and a network."""

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
import typer
from typer.main import get_command
from typer.testing import CliRunner, Result

from streamer.cli import app
from streamer.cli.routing.route_tests import configured_tests
from tests.unit.cli.test_routing import CONFIGURATION, FIELDS, change

REQUEST = "PUT https://erp.acme.com/api/006000000000001AAA"
BODY = {"id": "006000000000001AAA", "amount": 12.5, "day": "2025-01-31"}
WON = {**change(**FIELDS), "record_id": "006000000000001AAA"}


def run(folder: Path, tests: dict[str, Any], *options: str, files: dict[str, Any] | None = None) -> Result:
    """Run the tests of a configuration, from another folder than its own."""
    for name, content in (files or {}).items():
        (folder / name).write_text(json.dumps(content))
    path = folder / "streamer.yaml"
    # JSON is YAML.
    path.write_text(f"{CONFIGURATION}tests: {json.dumps(tests)}\n")
    return CliRunner().invoke(app, ["test", "-c", str(path), *options])


def a_test(**expect: Any) -> dict[str, Any]:
    """Return a test of a won opportunity."""
    return {"event": WON, "expect": expect}


def test_deliveries_as_expected_pass(tmp_path: Path) -> None:
    """The whole request can be compared, a part of it, or only who gets the event."""
    expected = {
        "request": REQUEST,
        "headers": {"Content-Type": "application/json"},
        "key": "tx:1:006000000000001AAA:invoice",
        "body": BODY,
        "content": BODY,
        "text": None,
    }
    found = run(
        tmp_path,
        {
            "whole": a_test(invoice=expected, order="excluded"),
            "part": a_test(invoice={"body_has": {"amount": 12.5}, "content_has": {"day": "2025-01-31"}}),
            "from-file": {**a_test(invoice="delivered"), "event": "won.json"},
        },
        files={"won.json": {"data": WON}},
    )

    assert found.exit_code == 0, found.output
    assert found.stdout == ("passed  whole\npassed  part\npassed  from-file\n3 tests: 3 passed, 0 failed.\n")


@pytest.mark.parametrize(
    ("expected", "told"),
    [
        ({"body": {**BODY, "amount": 13}}, ["invoice.body.amount: expected 13", "found    12.5"]),
        ({"body": {**BODY, "more": 1}}, ["invoice.body.more: expected 1, but it is missing"]),
        ({"body": {"id": BODY["id"], "amount": 12.5}}, ['invoice.body.day: not expected: "2025-01-31"']),
        ({"body_has": {"amount": True}}, ["invoice.body.amount: expected true"]),
        ({"request": "POST https://erp.acme.com/api"}, [f'found    "{REQUEST}']),
        ({"headers": {"x-a": "1"}}, ['invoice.headers.x-a: expected "1", but it is missing']),
        ({"text": "won"}, ['invoice.text: expected "won"', "found    null"]),
        ({"content": "a\nb"}, ["invoice.content: --- expected", "-a", "-b", '+{"id":']),
        ("excluded", ["invoice: expected to be excluded, but is delivered"]),
        ("rejected", ["invoice: expected to be rejected, but is delivered"]),
    ],
)
def test_difference_is_shown_at_its_place(tmp_path: Path, expected: Any, told: list[str]) -> None:
    """A person sees the expected and the found value; the command fails."""
    found = run(tmp_path, {"won": a_test(invoice=expected)})

    assert found.exit_code == 1
    assert found.stdout.startswith("FAILED  won\n")
    assert [each for each in told if each not in found.stdout] == []
    assert found.stdout.endswith("1 test: 0 passed, 1 failed.\n")


def test_event_that_is_not_delivered_has_a_reason(tmp_path: Path) -> None:
    """A condition excludes it, or an expression makes it a dead letter."""
    small, odd = ({**WON, "fields": {**FIELDS, **each}} for each in ({"Amount": 1}, {"CloseDate": "soon"}))
    tests = {
        "small": {"event": small, "expect": {"invoice": {"outcome": "excluded", "reason": "`when` is not"}}},
        "odd": {"event": odd, "expect": {"invoice": {"outcome": "rejected", "reason": "date"}}},
        "wrong": {"event": small, "expect": {"invoice": {"outcome": "excluded", "reason": "on matches"}}},
    }

    found = run(tmp_path, tests)

    assert [line.split()[0] for line in found.stdout.splitlines()[:3]] == ["passed", "passed", "FAILED"]
    assert 'invoice.reason: expected "on matches"' in found.stdout


def test_answers_of_lookups_and_receipts_are_given(tmp_path: Path) -> None:
    """A subscriber in a chain gets the answer of the earlier one; a missing answer is named."""
    whole = {
        **a_test(number={"request": "PUT https://erp.acme.com/numbers/I-1", "body_has": {"customer": "C-7"}}),
        "lookups": {"account": {"ERP_Id__c": "C-7"}},
        "receipts": {"invoice": {"answer": {"number": "I-1"}}},
    }
    unknown = {**whole, "lookups": {"account": None}, "expect": {"number": "excluded"}}
    bare = {"event": WON, "expect": {"number": {"body_has": {"customer": "C-7"}}}}

    found = run(tmp_path, {"whole": whole, "unknown": unknown, "bare": bare})

    lines = found.stdout.splitlines()
    assert lines[:3] == ["passed  whole", "passed  unknown", "FAILED  bare"]
    assert (
        "the test gives no receipts.invoice, no account: add them to its lookups or receipts" in found.stdout
    )


def test_others_can_be_excluded(tmp_path: Path) -> None:
    """A test can say that nobody else gets the event."""
    tests = {"won": {**a_test(invoice="delivered"), "others": "excluded"}}

    found = run(tmp_path, tests)

    assert "number: gets this event, but no other subscriber is expected to get it" in found.stdout
    assert "order:" not in found.stdout


def test_results_are_written_for_programs(tmp_path: Path) -> None:
    """As JSON on the output, and as JUnit XML in a file; named tests alone run."""
    report = tmp_path / "junit.xml"
    tests = {
        "good": a_test(invoice="delivered"),
        "bad": a_test(invoice="excluded"),
        "left": a_test(order="delivered"),
    }

    found = run(tmp_path, tests, "good", "bad", "--json", "--junit", str(report))

    answer = json.loads(found.stdout)["tests"]
    assert [(each["name"], each["passed"]) for each in answer] == [("good", True), ("bad", False)]
    suite = ET.parse(report).getroot()  # noqa: S314 - our own file
    assert (suite.get("tests"), suite.get("failures")) == ("2", "1")
    (failure,) = suite.iter("failure")
    assert failure.get("message") == "invoice: expected to be excluded, but is delivered"


@pytest.mark.parametrize(
    ("tests", "options", "told"),
    [
        ({}, [], "the configuration has no tests"),
        ({"won": a_test(invoice="delivered")}, ["wom"], "TEST: found 'wom'; did you mean won?"),
        (
            {"won": a_test(invoise="delivered")},
            [],
            "tests.won.expect.invoise: no subscriber has this name; did you mean invoice?",
        ),
        (
            {"won": {**a_test(invoice="delivered"), "lookups": {"acount": None}}},
            [],
            "tests.won.lookups.acount: no look-up has this name; did you mean account?",
        ),
        ({"won": {**a_test(invoice="delivered"), "event": "a.json"}}, [], "tests.won.event: "),
        ({"won": {**a_test(invoice="delivered"), "event": {}}}, [], "tests.won.event: is not an event"),
        (
            {"won": a_test(invoice={"outcome": "excluded", "key": "a"})},
            [],
            "nothing is sent if the event is excluded: remove key",
        ),
    ],
)
def test_mistake_in_a_test_is_one_of_the_configuration(
    tmp_path: Path, tests: dict[str, Any], options: list[str], told: str
) -> None:
    """With the key, and another status than a test that fails."""
    found = run(tmp_path, tests, *options)

    assert found.exit_code == 2
    assert told in found.stderr


def test_output_has_no_colour_unless_it_is_a_terminal(tmp_path: Path) -> None:
    """And none with NO_COLOR."""
    found = run(tmp_path, {"won": a_test(invoice="excluded")})

    assert "\x1b" not in found.stdout


def test_shell_completes_the_names_of_tests(tmp_path: Path) -> None:
    """From the configuration that the command line names."""
    path = tmp_path / "streamer.yaml"
    path.write_text(f"{CONFIGURATION}tests: {json.dumps({'won': {}, 'lost': {}})}\n")
    context = typer.Context(get_command(app))
    context.params = {"config": [path]}

    assert configured_tests(context, "w") == ["won"]
