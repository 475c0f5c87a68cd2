"""Section: base of every part of the configuration."""

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """Part of the configuration: frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)
