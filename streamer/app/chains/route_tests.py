"""Tests of a configuration: each compares the deliveries of one event with the expected deliveries."""

import difflib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from streamer.app.chains.verdicts import Verdicts
from streamer.app.plan import Plan
from streamer.errors import BrokenRoute, ConfigurationError
from streamer.events import Delivery, Event, JsonObject, Outcome, Reject, Skip, SubscriberName
from streamer.exact_json import exact_json, exact_value
from streamer.ports import Preview, Previewing, Subscriber
from streamer.settings import ExpectedDelivery, RouteTestSettings

_SHOWN = 400
_ABSENT = object()


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One difference of a test at a `place` such as `erp.body.amount`; `lines` describe it."""

    place: str
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteTestResult:
    """Differences of one test; a test without differences has passed.

    `absent` has the names of receipts and records that expressions read, and that the
    test does not give.
    """

    name: str
    differences: tuple[Difference, ...]
    absent: tuple[str, ...] = ()

    @property
    def has_passed(self) -> bool:
        """True if everything is as expected."""
        return not self.differences


class RouteTests:
    """Runs tests with the routes of a plan. `previews` has a preview of each subscriber's plugin."""

    def __init__(self, checked: Plan, previews: "Previews") -> None:
        self._checked = checked
        self._previews = previews

    def run(self, name: str, test: RouteTestSettings, event: Event, more: JsonObject) -> RouteTestResult:
        """Return the result of one test; `more` has records that the event's file gives."""
        verdicts = Verdicts(self._checked, event, {**more, **test.lookups})
        found = [
            each
            for subscriber, expected in test.expect.items()
            for each in self._compared(verdicts, subscriber, expected)
        ]
        if test.others == "excluded":
            others = (each for each in self._checked.settings.subscribers if each not in test.expect)
            found += [each for other in others for each in _unexpected(verdicts, other)]
        absent = (each for name in test.expect for each in verdicts.of(name).absent)
        return RouteTestResult(
            name=name, differences=tuple(found), absent=tuple(dict.fromkeys(absent)) if found else ()
        )

    def _compared(
        self, verdicts: Verdicts, name: SubscriberName, expected: ExpectedDelivery
    ) -> Iterator[Difference]:
        verdict = verdicts.of(name)
        outcome, reason = "delivered", verdict.why
        delivery, shown = None, None
        if verdict.error:
            outcome, reason = "rejected", verdict.error
        elif not verdict.matches:
            outcome = "excluded"
        else:
            try:
                delivery = verdicts.delivery(name)
                shown = self._previews.of(name, delivery)
            except BrokenRoute as error:
                outcome, reason = "rejected", str(error)
            if isinstance(shown, Skip | Reject):
                outcome = "excluded" if isinstance(shown, Skip) else "rejected"
                reason = shown.reason
        if outcome != expected.outcome:
            why = f": {reason}" if reason else ""
            yield _difference(name, [f"expected to be {expected.outcome}, but is {outcome}{why}"])
        elif expected.reason is not None and expected.reason not in reason:
            yield from _of_values(f"{name}.reason", expected.reason, reason)
        elif delivery is not None and isinstance(shown, Preview):
            yield from _of_delivery(name, expected, delivery, shown)


class Previews:
    """Previews of the plugins, which are made once."""

    def __init__(self, checked: Plan) -> None:
        self._checked = checked
        self._made: dict[SubscriberName, Subscriber] = {}

    def of(self, name: SubscriberName, delivery: Delivery) -> Preview | Outcome:
        """Return the preview of a delivery. Raises `ConfigurationError`."""
        if name not in self._made:
            self._made[name] = self._checked.subscribers[name]()
        return previewed(self._made[name], delivery)


def previewed(subscriber: Subscriber, delivery: Delivery) -> Preview | Outcome:
    """Return what the plugin would send, or the delivery itself if the plugin has no preview.

    Raises `ConfigurationError` if the plugin raises an error.
    """
    try:
        shown = subscriber.preview(delivery) if isinstance(subscriber, Previewing) else None
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        # A plugin is foreign code, and the text of its errors can contain a secret.
        raise ConfigurationError(f"the plugin's preview raised {type(error).__name__}") from error
    return _plain_preview(delivery) if shown is None else shown


def _plain_preview(delivery: Delivery) -> Preview:
    """Return the delivery that a plugin without a preview gets."""
    if delivery.content is not None:
        headers = {"content-type": delivery.content.type}
        return Preview(request="content for the plugin", headers=headers, content=delivery.content.data)
    given = {"key": delivery.key, "body": delivery.body, "text": delivery.text}
    if delivery.body is None:
        given["event"] = delivery.event.data
    return Preview(request="delivery to the plugin, which has no preview", content=exact_json(given))


def _unexpected(verdicts: Verdicts, name: SubscriberName) -> Iterator[Difference]:
    verdict = verdicts.of(name)
    if verdict.matches or verdict.error:
        yield _difference(name, ["gets this event, but no other subscriber is expected to get it"])


def _of_delivery(
    name: SubscriberName, expected: ExpectedDelivery, delivery: Delivery, shown: Preview
) -> Iterator[Difference]:
    given = expected.model_fields_set
    found = {"request": shown.request, "key": delivery.key, "body": delivery.body, "text": delivery.text}
    for field in ("request", "key", "body", "text"):
        if field in given:
            yield from _of_values(f"{name}.{field}", getattr(expected, field), found[field])
    if "body_has" in given:
        yield from _of_values(f"{name}.body", expected.body_has, delivery.body, is_part=True)
    headers = {header.lower(): value for header, value in shown.headers.items()}
    for header, value in expected.headers.items():
        yield from _of_values(f"{name}.headers.{header}", value, headers.get(header.lower(), _ABSENT))
    for field in ("content", "content_has"):
        if field in given:
            yield from _of_content(f"{name}.content", getattr(expected, field), shown, field != "content")


def _of_content(place: str, expected: Any, shown: Preview, is_part: bool) -> Iterator[Difference]:  # noqa: FBT001 - private, read next to its caller
    text = shown.content.decode(errors="replace")
    if isinstance(expected, str):
        yield from _of_values(place, expected, text)
        return
    try:
        found = exact_value(shown.content)
    except ValueError:
        yield _difference(place, ["expected JSON, but the content is:", *text.splitlines()])
        return
    yield from _of_values(place, expected, found, is_part=is_part)


def _of_values(place: str, expected: Any, found: Any, *, is_part: bool = False) -> Iterator[Difference]:
    """Yield the differences of two JSON values, each at its own place.

    With `is_part`, objects in `found` can have more members.
    """
    if isinstance(expected, dict) and isinstance(found, dict):
        for name, value in expected.items():
            yield from _of_values(f"{place}.{name}", value, found.get(name, _ABSENT), is_part=is_part)
        for name in found.keys() - expected.keys() if not is_part else ():
            yield _difference(f"{place}.{name}", [f"not expected: {_shown(found[name])}"])
    elif isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found):
        for index, (one, other) in enumerate(zip(expected, found, strict=True)):
            yield from _of_values(f"{place}.{index}", one, other, is_part=is_part)
    elif found is _ABSENT:
        yield _difference(place, [f"expected {_shown(expected)}, but it is missing"])
    elif isinstance(expected, str) and isinstance(found, str) and "\n" in expected + found:
        if expected != found:
            yield _difference(place, _text_difference(expected, found))
    elif _normal(expected) != _normal(found):
        yield _difference(place, [f"expected {_shown(expected)}", f"found    {_shown(found)}"])


def _normal(value: Any) -> tuple[type, Any]:
    plain = exact_value(exact_json(value))
    # In Python, true equals 1.
    kind = bool if isinstance(plain, bool) else object
    return kind, plain


def _text_difference(expected: str, found: str) -> Sequence[str]:
    lines = difflib.unified_diff(
        expected.splitlines(), found.splitlines(), "expected", "found", lineterm="", n=1
    )
    return list(lines) or ["differs in its last line break"]


def _difference(place: str, lines: Iterable[str]) -> Difference:
    return Difference(place=place, lines=tuple(lines))


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
