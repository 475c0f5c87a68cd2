"""Section: base of every part of the configuration."""

from typing import Any

from pydantic import BaseModel, BeforeValidator, ConfigDict


class Section(BaseModel):
    """Part of the configuration: frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


def one_or_more(text: Any = str) -> BeforeValidator:
    """Return a validator for `tuple[text, ...]` that also takes one `text`, such as a `Literal`, alone."""
    return BeforeValidator(_as_tuple, json_schema_input_type=text | tuple[text, ...])


def _as_tuple(value: object) -> object:
    return (value,) if isinstance(value, str) else value
