"""Faults that only the Pub/Sub API has."""

from collections.abc import Sequence
from typing import Annotated, Final, Literal

from pydantic import Field

from streamer.sandbox.faults.armed import PUBLISH, SCHEMA, STREAM, SUBSCRIBE, TOPIC
from streamer.sandbox.faults.arming import Count, FaultCatalogue, Times

CallKind = Literal["subscribe", "stream", "topic", "schema", "publish"]
CALLS: Final[tuple[CallKind, ...]] = (SUBSCRIBE, STREAM, TOPIC, SCHEMA, PUBLISH)

Status = Literal[
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "RESOURCE_EXHAUSTED",
    "ABORTED",
    "INTERNAL",
    "UNAVAILABLE",
]


class StreamFaults(FaultCatalogue):
    """Faults of the Pub/Sub API; `times` and `after_events` mean the same as for other faults."""

    def unavailable(
        self,
        *,
        on: Sequence[CallKind] = CALLS,
        coded: bool = True,
        times: Times = 1,
        after_events: Count = 0,
    ) -> None:
        """End calls with UNAVAILABLE: if `coded`, with service.unavailable.

        Otherwise, like a lost connection.
        """
        settings = {"coded": coded}
        self._arm("unavailable", on, times=times, after_events=after_events, settings=settings)

    def end_stream(
        self,
        *,
        status: Status = "OK",
        error_code: str | None = None,
        times: Times = 1,
        after_events: Count = 0,
    ) -> None:
        """End a subscription's stream with a status and, if given, with an error code."""
        settings = {"status": status, "error_code": error_code}
        self._arm("end_stream", (STREAM,), times=times, after_events=after_events, settings=settings)

    def age_limit(self, seconds: Annotated[float, Field(gt=0)], *, times: Times = None) -> None:
        """Cut each new stream when it is `seconds` old, as if the connection were lost."""
        self._arm("age_limit", (STREAM,), times=times, settings={"seconds": seconds})

    def client_limit(self, *, times: Times = 1) -> None:
        """Refuse subscriptions as if the org had too many concurrent clients."""
        self._arm("client_limit", (SUBSCRIBE,), times=times)

    def stop_keepalives(self, *, times: Times = 1) -> None:
        """Send a stream no more keep-alives, but still send its events."""
        self._arm("stop_keepalives", (STREAM,), times=times)

    def unknown_schema(self, *, times: Times = 1) -> None:
        """Answer requests for a schema as if it did not exist."""
        self._arm("unknown_schema", (SCHEMA,), times=times)

    def refuse_publish(self, *, times: Times = 1) -> None:
        """Answer the next published events with an error, and do not publish them."""
        self._arm("refuse_publish", (PUBLISH,), times=times)
