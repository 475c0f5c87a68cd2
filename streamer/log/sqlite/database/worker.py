"""Worker thread that owns a SQLite connection, and functions for bulk statements."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Self, TypeVar

from streamer.errors import LogUnavailable
from streamer.log.sqlite.database.errors import translated
from streamer.log.sqlite.database.schema import open_reader, open_shared, open_writer
from streamer.observe.process import Pulse, Pulses
from streamer.observe.service_thread import ServiceThread

_Result = TypeVar("_Result")
_Connect = Callable[[Path], sqlite3.Connection]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Job:
    work: Callable[[sqlite3.Connection], Any]
    weight: int
    then: Callable[[Any], None]
    done: asyncio.Future[Any]


class Worker:
    """Thread with its own connection, which runs jobs in the order of submission.

    After a failure, the worker closes the connection, and opens it again for the next
    job. The outcome of a failed commit is uncertain until then.
    """

    def __init__(self, path: Path, connect: _Connect, *, group_weight: int, atomic: bool) -> None:
        """Run jobs in groups of at most `group_weight` in weight; `atomic` makes a group one transaction."""
        self._path = path
        self._connect = connect
        self._group_weight = group_weight
        self._group_context = transaction if atomic else nullcontext
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._loop = asyncio.get_running_loop()
        self._connection: sqlite3.Connection | None = None
        self._closed = False
        # Futures without a result yet, and the error that ended the thread.
        self._open: set[asyncio.Future[Any]] = set()
        self._failure: Exception | None = None

    @classmethod
    def writing(cls, path: Path, *, group_weight: int, pulses: Pulses) -> AbstractAsyncContextManager[Self]:
        """Return the worker that writes, which commits jobs in groups."""
        return cls(path, open_writer, group_weight=group_weight, atomic=True).running("log.writer", pulses)

    @classmethod
    def reading(cls, path: Path, *, pulses: Pulses) -> AbstractAsyncContextManager[Self]:
        """Return a worker that only reads, one job at a time."""
        return cls(path, open_reader, group_weight=1, atomic=False).running("log.reader", pulses)

    @classmethod
    def searching(cls, path: Path, *, pulses: Pulses) -> AbstractAsyncContextManager[Self]:
        """Return a second worker that only reads, for operators."""
        return cls(path, open_reader, group_weight=1, atomic=False).running("log.search", pulses)

    @classmethod
    def sharing(cls, path: Path, *, pulses: Pulses) -> AbstractAsyncContextManager[Self]:
        """Return a worker that only reads, in a process that does not own the file."""
        return cls(path, open_shared, group_weight=1, atomic=False).running("log.reader", pulses)

    @asynccontextmanager
    async def running(self, name: str, pulses: Pulses) -> AsyncIterator[Self]:
        """Run the thread inside the context; leaving it finishes submitted jobs and closes the connection.

        The event loop keeps running while the connection closes, because closing
        can copy the whole write-ahead log into the file.
        """
        thread = ServiceThread(name, self._serve, pulses=pulses, failed=self._break_off)
        thread.start()
        try:
            await self.submit(_nothing)
            yield self
        finally:
            self._closed = True
            self._jobs.put(None)
            await _joined(thread)

    @property
    def is_closed(self) -> bool:
        """True when no job can be submitted any more."""
        return self._closed

    def submit(
        self,
        work: Callable[[sqlite3.Connection], _Result],
        *,
        weight: int = 1,
        then: Callable[[_Result], None] | None = None,
    ) -> asyncio.Future[_Result]:
        """Submit `work`; the future gets its result when the result is durable.

        `then` is called with the result on the loop, before the future gets the result,
        even if the future was cancelled. The future can raise `LogUnavailable` or
        `LogMisconfigured`. `submit` raises `LogUnavailable` when the worker is closed.
        """
        if self._closed:
            raise LogUnavailable(f"the log {self._path} is closed")
        return self._enqueue(work, weight=weight, then=then or _ignore)

    def _enqueue(
        self, work: Callable[[sqlite3.Connection], Any], *, weight: int, then: Callable[[Any], None]
    ) -> asyncio.Future[Any]:
        if self._failure is not None:
            raise self._failure
        job = _Job(work=work, weight=weight, then=then, done=self._loop.create_future())
        self._open.add(job.done)
        job.done.add_done_callback(self._open.discard)
        self._jobs.put(job)
        return job.done

    def _serve(self, pulse: Pulse) -> None:
        pulse.rest()
        try:
            while group := self._next_group():
                pulse.beat()
                results, failure = self._run_group(group)
                self._loop.call_soon_threadsafe(_resolve, group, results, failure)
                # The thread rests until the next job.
                pulse.rest()
        finally:
            self._close_connection()

    def _break_off(self, error: Exception) -> None:
        self._failure = error
        for done in list(self._open):
            if not done.done():
                done.set_exception(error)

    def _next_group(self) -> Sequence[_Job]:
        group: list[_Job] = []
        weight = 0
        job = self._jobs.get()
        while job is not None:
            group.append(job)
            weight += job.weight
            if weight >= self._group_weight:
                break
            try:
                job = self._jobs.get_nowait()
            except Empty:
                break
        else:
            if group:
                self._jobs.put(None)
        return group

    def _run_group(self, group: Sequence[_Job]) -> tuple[Sequence[Any], Exception | None]:
        try:
            connection = self._connection = self._connection or self._connect(self._path)
            with self._group_context(connection):
                return [job.work(connection) for job in group], None
        except sqlite3.Error as exc:
            self._close_connection()
            return (), translated(exc, self._path)
        except Exception as exc:  # noqa: BLE001 - the job's future raises it, and this thread continues
            return (), exc

    def _close_connection(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(sqlite3.Error):
                connection.close()


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Context manager: commit all statements of the body in one transaction, or none."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        with suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        raise


def _resolve(group: Sequence[_Job], results: Sequence[Any], failure: Exception | None) -> None:
    failures: list[Exception | None] = [failure] * len(group)
    if failure is None:
        failures = [_failure_of(job, result) for job, result in zip(group, results, strict=True)]
    for index, job in enumerate(group):
        if job.done.done():
            continue
        if (error := failures[index]) is None:
            job.done.set_result(results[index])
        else:
            job.done.set_exception(error)


def _failure_of(job: _Job, result: Any) -> Exception | None:
    try:
        job.then(result)
    except Exception as exc:  # noqa: BLE001 - the job's future raises it, and the other jobs have their results
        return exc
    return None


async def _joined(thread: ServiceThread) -> None:
    """Wait for the thread's end, even when cancelled, because the next owner needs the file unlocked."""
    cancelled: asyncio.CancelledError | None = None
    while not thread.has_ended:
        try:
            await thread.join()
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled


def _nothing(_: sqlite3.Connection) -> None:
    pass


def _ignore(_: object) -> None:
    pass


_ROWS_AT_ONCE = 1_000
# SQLite before 3.32 takes fewer parameters.
_PARAMETERS = 999 if sqlite3.sqlite_version_info < (3, 32) else 32_766


def insert_rows(
    connection: sqlite3.Connection, insert: str, rows: Sequence[tuple[Any, ...]], *, conflict: str = ""
) -> None:
    """Run the statement `insert`, given without its values, for all `rows`; all rows have the same width.

    `conflict` is an SQL clause that follows the values.
    """
    if not rows:
        return
    width = len(rows[0])
    placeholders = f"({','.join('?' * width)})"
    for batch in _batches(rows, min(_ROWS_AT_ONCE, _PARAMETERS // width)):
        values = ",".join([placeholders] * len(batch))
        connection.execute(f"{insert} VALUES {values} {conflict}", tuple(chain.from_iterable(batch)))


def delete_rows(
    connection: sqlite3.Connection,
    delete: str,
    keys: Iterable[Any],
    *,
    parameters: Sequence[Any] = (),
) -> None:
    """Run the statement `delete`, which ends with a column's name, for all `keys` in this column.

    `parameters` are the parameters that come before the column in the statement.
    """
    for batch in _batches(keys, min(_ROWS_AT_ONCE, _PARAMETERS - len(parameters))):
        connection.execute(f"{delete} IN ({','.join('?' * len(batch))})", (*parameters, *batch))


def _batches(items: Iterable[Any], size: int) -> Iterator[Sequence[Any]]:
    rest = iter(items)
    while batch := tuple(islice(rest, size)):
        yield batch


def used_bytes(connection: sqlite3.Connection) -> int:
    """Return the number of bytes that the file uses; SQLite reuses freed pages before the file grows."""
    pages, free, size = (
        connection.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("page_count", "freelist_count", "page_size")
    )
    return int((pages - free) * size)
