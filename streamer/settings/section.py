"""Base class of every section of the configuration."""

import re
from typing import Annotated, Any, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

_UNITS_S = {"": 1, "s": 1, "m": 60, "h": 3_600, "d": 86_400}


class Section(BaseModel):
    """Section of the configuration. It is frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, defer_build=True)


def _as_seconds(value: object) -> object:
    """Return the number of seconds that a text such as `10m` means. The type checks every other value."""
    if not isinstance(value, str):
        return value
    found = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,9})?) ?([smhd]?)", value.strip())
    if found is None:
        raise ValueError("must be a number with a unit: 90s, 10m, 2h or 1d")
    return float(found[1]) * _UNITS_S[found[2]]


def optional_section(description: str) -> Any:
    """Return the field of a section that can be left out; each key then has its own default."""
    # An instance as the default would build its own validator when this module is imported.
    # This default is validated together with the whole configuration.
    return Field(default={}, validate_default=True, description=description)


Duration: TypeAlias = Annotated[float, BeforeValidator(_as_seconds, json_schema_input_type=float | str)]
"""Duration in seconds. A configuration writes a number with a unit, such as `10m`."""


def one_or_more(text: Any = str) -> BeforeValidator:
    """Return a validator for `tuple[text, ...]` that also accepts a single `text`, such as a `Literal`."""
    return BeforeValidator(_as_tuple, json_schema_input_type=text | tuple[text, ...])


def _as_tuple(value: object) -> object:
    return (value,) if isinstance(value, str) else value
