"""Faults of the REST API's calls that read and write."""

from collections.abc import Sequence
from typing import Annotated, Final, Literal

from pydantic import Field

from streamer.sandbox.faults.armed import JOB, READ, RECORD, RESULTS, WRITE
from streamer.sandbox.faults.arming import FaultCatalogue, Times

RestKind = Literal["read", "write"]
_WRITES: Final[tuple[RestKind, ...]] = (WRITE,)


class RestFaults(FaultCatalogue):
    """Catalogue of these faults; `write` means every call except a GET."""

    def refuse_call(
        self,
        *,
        code: str = "REQUEST_LIMIT_EXCEEDED",
        message: str = "TotalRequests Limit exceeded.",
        status: Annotated[int, Field(ge=400, le=599)] = 403,
        on: Sequence[RestKind] = _WRITES,
        times: Times = 1,
    ) -> None:
        """Refuse the next calls of the REST API as a whole."""
        settings = {"code": code, "message": message, "status": status}
        self._arm("refuse_call", on, times=times, settings=settings)

    def refuse_record(
        self,
        *,
        code: str = "UNABLE_TO_LOCK_ROW",
        message: str = "unable to obtain exclusive access to this record",
        type: str | None = None,  # noqa: A002 - the word of Salesforce's own bodies
        times: Times = 1,
    ) -> None:
        """Refuse the next records of collections, of one type or of any type.

        A call's other records are written.
        """
        settings = {"code": code, "message": message}
        self._arm("refuse_record", (RECORD,), times=times, path=type, settings=settings)

    def fail_query_job(
        self,
        *,
        code: str = "QUERY_TIMEOUT",
        message: str = "Your query request was running for too long.",
        type: str | None = None,  # noqa: A002 - as above
        times: Times = 1,
    ) -> None:
        """Let the next query jobs of the Bulk API fail when they begin to run; `type` selects jobs."""
        settings = {"code": code, "message": message}
        self._arm("fail_query_job", (JOB,), times=times, path=type, settings=settings)

    def cut_results(
        self,
        *,
        after_bytes: Annotated[int, Field(ge=0)] = 100,
        type: str | None = None,  # noqa: A002 - as above
        times: Times = 1,
    ) -> None:
        """Break the connection during the next results of query jobs, after some bytes or at the end."""
        settings = {"after_bytes": after_bytes}
        self._arm("cut_results", (RESULTS,), times=times, path=type, settings=settings)

    def use_up_requests(
        self, *, share: Annotated[float, Field(ge=0, le=1)] = 1.0, times: Times = None
    ) -> None:
        """Count this share of the day's requests as used; if it is the whole allowance, calls are refused."""
        self._arm("use_up_requests", (READ, WRITE), times=times, settings={"share": share})

    def lose_answer(self, *, on: Sequence[RestKind] = _WRITES, times: Times = 1) -> None:
        """Carry out the next calls of the REST API, and close their connections without an answer."""
        self._arm("lose_answer", on, times=times)
