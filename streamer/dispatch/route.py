"""What concerns a subscriber, and in which shape it is sent."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jinja2
import jinja2.sandbox
import jmespath
import jmespath.exceptions

from streamer.errors import BrokenRoute, ConfigurationError
from streamer.events import Delivery, Event, JsonObject, SubscriberName

_TEXT_LIMIT = 100_000

Project = Callable[[JsonObject], Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """The predicate, projection and text of one subscriber, compiled once.

    Expressions see the event as a document: `id`, `source`, `type`, `subject`,
    `time` and `data`.
    """

    name: SubscriberName
    when: Project | None = None
    body: Project | None = None
    text: Callable[[JsonObject], str] | None = None

    def admits(self, event: Event) -> bool:
        """Whether `when` holds for `event`. Raises `BrokenRoute`."""
        if self.when is None:
            return True
        return bool(_evaluate("when", self.when, document(event)))

    def delivery(self, event: Event, *, attempt: int) -> Delivery:
        """Return `event` in the target's shape. Raises `BrokenRoute`."""
        shaped = document(event) if self.body or self.text else {}
        return Delivery(
            event=event,
            key=f"{event.id}:{self.name}",
            attempt=attempt,
            body=_evaluate("body", self.body, shaped) if self.body else None,
            text=_evaluate("text", self.text, shaped)[:_TEXT_LIMIT] if self.text else None,
        )


def compile_route(name: SubscriberName, *, when: str | None, body: Any, text: str | None) -> Route:
    """Compile the expressions of subscriber `name`.

    Raises `ConfigurationError` that names the key and the place of the mistake.
    """
    where = f"subscribers.{name}"
    return Route(
        name=name,
        when=_expression(when, f"{where}.when") if when is not None else None,
        body=_projection(body, f"{where}.body") if body is not None else None,
        text=_template(text, f"{where}.text") if text is not None else None,
    )


def document(event: Event) -> JsonObject:
    """Return `event` as expressions and templates see it."""
    return {
        "id": event.id,
        "source": event.source,
        "type": event.type,
        "subject": event.subject,
        "time": event.time,
        "data": event.data,
    }


def _evaluate(key: str, function: Callable[[JsonObject], Any], shaped: JsonObject) -> Any:
    try:
        return function(shaped)
    except (
        jmespath.exceptions.JMESPathError,
        jinja2.TemplateError,
        TypeError,
        ValueError,
        ArithmeticError,
    ) as error:
        raise BrokenRoute(f"{key} fails on this event: {error}") from error


def _expression(expression: str, where: str) -> Project:
    try:
        return jmespath.compile(expression).search
    except jmespath.exceptions.JMESPathError as error:
        raise ConfigurationError(f"{where}: {expression!r} is not a JMESPath expression: {error}") from error


def _projection(shape: Any, where: str) -> Project:
    if isinstance(shape, str):
        return _expression(shape, where)
    if isinstance(shape, dict):
        parts = {name: _projection(inner, f"{where}.{name}") for name, inner in shape.items()}
        return lambda shaped: {name: part(shaped) for name, part in parts.items()}
    if isinstance(shape, list):
        items = [_projection(inner, f"{where}[{index}]") for index, inner in enumerate(shape)]
        return lambda shaped: [item(shaped) for item in items]
    return lambda _: shape


def _template(source: str, where: str) -> Callable[[JsonObject], str]:
    environment = jinja2.sandbox.ImmutableSandboxedEnvironment(
        undefined=jinja2.StrictUndefined, autoescape=False
    )
    environment.filters["money"] = _money
    try:
        template = environment.from_string(source)
    except jinja2.TemplateSyntaxError as error:
        raise ConfigurationError(f"{where}: line {error.lineno}: {error.message}") from error
    return template.render


def _money(amount: Any) -> str:
    return f"{float(amount):,.2f}"
