"""Look-ups: limits of the reading of records for events."""

from pydantic import Field

from streamer.settings.section import Section


class LookupsSettings(Section):
    """Limits of the look-ups of all subscribers with `enrich`."""

    cache_s: float = Field(
        default=60.0,
        ge=0,
        description="how long a record that was read serves further events; an event of the record ends it",
    )
    cache_entries: int = Field(default=10_000, ge=1, description="most records in memory")
    cache_bytes: int = Field(default=32 * 1024**2, ge=1024, description="size of these in memory")
    batch: int = Field(
        default=200, ge=1, le=2_000, description="most records of one object that one call reads"
    )
    collect_s: float = Field(
        default=0.005,
        ge=0,
        le=10,
        description="how long a call that is not full waits for more",
    )
    timeout_s: float = Field(
        default=30.0, gt=0, description="time after which an event stops waiting, and is retried later"
    )
    reserve: float = Field(
        default=0.2,
        ge=0,
        lt=1,
        description="share of the org's daily requests that look-ups leave to others; below it they wait",
    )
