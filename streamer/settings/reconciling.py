"""Comparisons of the org with the log, which the daemon makes by itself."""

from typing import Annotated

from pydantic import Field, field_validator

from streamer.settings.section import Section

_UNITS_S = {"m": 60.0, "h": 3_600.0, "d": 86_400.0}
_LEAST_S, _MOST_S = 3_600.0, 7 * 86_400.0


class ReconcileSettings(Section):
    """Comparisons of the org with the log."""

    entities: tuple[Annotated[str, Field(pattern=r"^[A-Za-z]\w{0,79}$")], ...] = Field(
        min_length=1, max_length=200, description="API names of the objects to compare"
    )
    every: str = Field(
        default="24h",
        pattern=r"^[1-9][0-9]{0,4}[mhd]$",
        description="time between two comparisons of an object, such as 90m, 24h or 2d; from 1h to 7d",
    )

    @property
    def every_s(self) -> float:
        """Time between two comparisons, in seconds."""
        return _seconds(self.every)

    @field_validator("every")
    @classmethod
    def _is_sensible(cls, every: str) -> str:
        if not _LEAST_S <= _seconds(every) <= _MOST_S:
            raise ValueError("must be a time from 1h to 7d")
        return every


def _seconds(every: str) -> float:
    return int(every[:-1]) * _UNITS_S[every[-1]]
