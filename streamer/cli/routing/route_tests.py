"""The command `streamer test`."""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any
from xml.etree import ElementTree as ET

import typer

from streamer.app.chains.route_tests import Previews, RouteTestResult, RouteTests
from streamer.app.plan import Plan, plan
from streamer.cli.output import (
    REFUSED,
    AsJson,
    Config,
    console,
    counted,
    failures_reported,
    plain,
    print_json,
)
from streamer.cli.routing.events import GivenEvent, event_given, events_of
from streamer.clock import SystemClock
from streamer.configuration import load_document
from streamer.errors import ConfigurationError, StreamerError
from streamer.events import JsonObject
from streamer.settings import RouteTestSettings
from streamer.xml import NOT_IN_XML


def configured_tests(context: typer.Context, incomplete: str) -> list[str]:
    """Complete the name of a test, for the shell."""
    try:
        data: Any = load_document(context.params.get("config") or []).data
        names = [str(name) for name in data.get("tests") or ()]
    except (StreamerError, AttributeError, TypeError):
        return []
    return sorted(name for name in names if name.startswith(incomplete))


def run_tests(
    tests: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[TEST]...",
            help="Names of tests in the configuration; default: all tests.",
            show_default=False,
            autocompletion=configured_tests,
        ),
    ] = None,
    *,
    config: Config,
    junit: Annotated[
        Path | None,
        typer.Option("--junit", metavar="FILE", help="Also write the results to FILE as JUnit XML."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Run the tests of the configuration: compare the deliveries of events with the expected deliveries.

    A test in the section `tests` has an event, and says which subscribers get it, and
    what they send. The command makes no connection and sends nothing.

    Exits 0 when all tests pass, 1 when a test fails, 2 for a mistake in the
    configuration or in an event's file.
    """
    with failures_reported():
        checked = plan(load_document(config), SystemClock())
        results = _results(checked, _chosen(checked.settings.tests, tests or ()))
        if junit is not None:
            _write(junit, results)
        if as_json:
            print_json({"tests": [_as_json(each) for each in results]})
        else:
            _print(results)
    if not all(each.has_passed for each in results):
        raise typer.Exit(REFUSED)


def _chosen(known: Mapping[str, RouteTestSettings], names: Sequence[str]) -> Mapping[str, RouteTestSettings]:
    if not known:
        raise ConfigurationError("the configuration has no tests: add a section tests")
    for name in names:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {close[0]}? " if close else ""
            raise ConfigurationError(f"TEST: found {name!r}; {hint}configured: {', '.join(known)}")
    return {name: each for name, each in known.items() if not names or name in names}


def _results(checked: Plan, tests: Mapping[str, RouteTestSettings]) -> list[RouteTestResult]:
    runner = RouteTests(checked, Previews(checked))
    results = []
    for name, each in tests.items():
        given = _given(checked, name, each)
        receipts = {**(given.event.receipts or {}), **each.receipts}
        event = replace(given.event, receipts=receipts or None)
        results.append(runner.run(name, each, event, given.more))
    return results


def _given(checked: Plan, name: str, test: RouteTestSettings) -> GivenEvent:
    keys = ("tests", name, "event")
    try:
        if isinstance(test.event, dict):
            return event_given(test.event, test.type)
        folder = Path(checked.document.place(keys).rpartition(":")[0]).parent
        events = list(events_of(folder / test.event, test.type))
    except (ConfigurationError, ValueError) as error:
        raise ConfigurationError(checked.document.mistake(keys, str(error))) from None
    if len(events) != 1:
        sentence = f"the file has {counted(len(events), 'event')}, but a test needs one event"
        raise ConfigurationError(checked.document.mistake(keys, sentence))
    return events[0]


def _print(results: Sequence[RouteTestResult]) -> None:
    shown = console()
    for each in results:
        word, style = ("passed", "green") if each.has_passed else ("FAILED", "bold red")
        line = plain(f"{word}  {each.name}")
        line.stylize(style, 0, len(word))
        shown.print(line, soft_wrap=True)
        for sentence in _lines(each):
            shown.print(plain(f"    {sentence}"), soft_wrap=True)
    failed = sum(not each.has_passed for each in results)
    summary = f"{counted(len(results), 'test')}: {len(results) - failed} passed, {failed} failed."
    shown.print(plain(summary), soft_wrap=True)


def _lines(result: RouteTestResult) -> Iterable[str]:
    for each in result.differences:
        first, *others = each.lines
        yield f"{each.place}: {first}"
        # Lines that belong together stand below each other.
        yield from (f"{' ' * (len(each.place) + 2)}{line}" for line in others)
    if result.absent:
        yield f"the test gives no {', no '.join(result.absent)}: add them to its lookups or receipts"


def _as_json(result: RouteTestResult) -> JsonObject:
    differences = [{"place": each.place, "lines": list(each.lines)} for each in result.differences]
    return {
        "name": result.name,
        "passed": result.has_passed,
        "differences": differences,
        "absent_names": list(result.absent),
    }


def _write(path: Path, results: Sequence[RouteTestResult]) -> None:
    failed = sum(not each.has_passed for each in results)
    suite = ET.Element("testsuite", name="streamer test", tests=str(len(results)), failures=str(failed))
    for each in results:
        case = ET.SubElement(suite, "testcase", classname="streamer.tests", name=each.name)
        if not each.has_passed:
            lines = [NOT_IN_XML.sub("\N{REPLACEMENT CHARACTER}", line) for line in _lines(each)]
            ET.SubElement(case, "failure", message=lines[0]).text = "\n".join(lines)
    try:
        ET.ElementTree(suite).write(path, encoding="utf-8", xml_declaration=True)
    except OSError as error:
        raise ConfigurationError(f"{path}: can't be written: {error.strerror}") from error
