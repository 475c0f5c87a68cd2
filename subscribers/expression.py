"""JMESPath expressions over a delivery, checked with the settings."""

from typing import Annotated, Any

import jmespath
from jmespath.exceptions import JMESPathError
from pydantic import AfterValidator

from streamer.events import Delivery, JsonObject


def _compiles(expression: str) -> str:
    try:
        jmespath.compile(expression)
    except JMESPathError as exc:
        raise ValueError(f"is not a JMESPath expression: {str(exc).splitlines()[0]}") from exc
    return expression


Expression = Annotated[str, AfterValidator(_compiles)]
"""JMESPath expression over `id`, `source`, `type`, `subject`, `time`, `key`, `data` and `body`."""


class Query:
    """Compiled expression; raises jmespath's `JMESPathError` for one that `Expression` has not checked."""

    def __init__(self, expression: str) -> None:
        self._compiled = jmespath.compile(expression)

    def of(self, delivery: Delivery) -> Any:
        """Return the value that the expression finds in `delivery`; `None` for no value or an error."""
        try:
            return self._compiled.search(_view(delivery))
        except JMESPathError:
            return None

    def name_of(self, delivery: Delivery) -> str | None:
        """Return the found value as a name that fits into a URL: a text or a whole number, or `None`."""
        found = self.of(delivery)
        if isinstance(found, int) and not isinstance(found, bool):
            return str(found)
        # The names . and .. would lead a URL elsewhere.
        if isinstance(found, str) and found not in {"", ".", ".."}:
            return found
        return None


def _view(delivery: Delivery) -> JsonObject:
    event = delivery.event
    return {
        "id": event.id,
        "source": event.source,
        "type": event.type,
        "subject": event.subject,
        "time": event.time,
        "key": event.key,
        "data": event.data,
        "body": delivery.body,
    }
