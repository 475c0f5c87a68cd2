"""Contracts of the look-ups: what reads records for events, from the org or from a service."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Protocol, Self

from pydantic import BaseModel

from streamer.clock import Clock
from streamer.errors import RecordsRefused
from streamer.events import JsonObject
from streamer.ports.previews import Preview


class LookupReader(Protocol):
    """Reader of records as they are now; each `RecordReader` is one."""

    @property
    def requests_left(self) -> float | None:
        """Share of the day's requests that is left, from 0 to 1; `None` where it is unknown or unlimited."""
        ...

    async def read(
        self, entity: str, ids: Sequence[str], fields: Sequence[str], /
    ) -> Mapping[str, JsonObject | RecordsRefused]:
        """Return `fields` of the records of `entity`, by id.

        Records that are missing are left out, and so can fields be. A record that
        is refused by itself is its refusal. Raises `RetryLater` when there is no
        answer, a `Stop` when an operator must act, and `RecordsRefused` for all
        `ids`, with the name of the field where it is known.
        """
        ...


class LookupService(LookupReader, Protocol):
    """Reader of the records of one service, which has no entities: it is asked for one without a name."""

    @property
    def batch(self) -> int:
        """Most records that one call reads."""
        ...

    @property
    def max_in_flight(self) -> int:
        """Most calls at once."""
        ...

    async def __aenter__(self) -> Self:
        """Open connections. Raises `ConfigurationError`."""
        ...

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close connections."""
        ...

    def preview(self, record_id: str, /) -> Preview:
        """Return the request that reads one record, with secrets masked; makes no connection."""
        ...


class LookupPlugin(Protocol):
    """Class behind an entry point of the group `streamer.lookups`.

    `Settings` validates what `enrich` has under the name of the entry point.
    """

    # A property, so that a class whose settings are of a narrower type fits.
    @property
    def Settings(self) -> type[BaseModel]:  # noqa: N802 - a class within the plugin's class
        """Model of the service's settings."""
        ...

    def __call__(self, settings: Any, clock: Clock, /) -> LookupService:
        """Return the service; no I/O happens yet."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceSource:
    """Maker of a service; equal ones make the same, so that their look-ups share calls and cache."""

    # It can hold secrets.
    key: str = field(repr=False)
    make: Callable[[Clock], LookupService] = field(compare=False, repr=False)
