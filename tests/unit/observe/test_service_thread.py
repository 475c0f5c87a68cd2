"""Contract of the threads that serve the event loop."""

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

import streamer.log
from streamer.clock import TurnedClock
from streamer.observe.process import Pulse, Pulses
from streamer.observe.service_thread import ServiceThread
from tests.waiting import limited, until


class Bug(Exception):
    """Error that no one has thought of."""


@dataclass
class Owner:
    """Owner of a thread that serves until it `may_end`."""

    pulses: Pulses = field(default_factory=lambda: Pulses(TurnedClock()))
    may_end: threading.Event = field(default_factory=threading.Event)
    failures: list[tuple[Exception, int]] = field(default_factory=list)

    def thread(self, serve: Callable[[Pulse], None] | None = None) -> ServiceThread:
        """Return a new thread."""
        return ServiceThread("service", serve or self.serve, pulses=self.pulses, failed=self.failed)

    def serve(self, _: Pulse) -> None:
        """Wait until the end."""
        self.may_end.wait()

    def failed(self, error: Exception) -> None:
        """Note the error, and the thread that this is called on."""
        self.failures.append((error, threading.get_ident()))


@pytest.fixture
def owner() -> Owner:
    """Owner without a thread."""
    return Owner()


async def test_pulse_lasts_from_the_start_to_the_end(owner: Owner) -> None:
    """Supervision judges the thread for as long as it runs, and no longer."""
    beats: list[Pulse] = []

    def serve(pulse: Pulse) -> None:
        beats.append(pulse)
        pulse.rest()
        owner.may_end.wait()

    thread = owner.thread(serve)
    assert owner.pulses.beats().keys() == {"service"}
    thread.start()
    await until(lambda: owner.pulses.beats() == {"service": None})
    owner.may_end.set()
    async with limited("the thread"):
        await thread.join()

    assert owner.pulses.beats() == {}
    assert beats == [thread.pulse]


async def test_thread_does_not_keep_the_process(owner: Owner) -> None:
    """A broker that never answers cannot hold up the end of the process."""
    found: list[tuple[str, bool]] = []

    def serve(_: Pulse) -> None:
        found.append((threading.current_thread().name, threading.current_thread().daemon))

    thread = owner.thread(serve)
    thread.start()
    async with limited("the thread"):
        await thread.join()

    assert found == [("service", True)]


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (Bug("a bug"), Bug),
        # A future refuses the first one, and the loop would end with the others.
        (StopIteration("a bug"), RuntimeError),
        (SystemExit("a bug"), RuntimeError),
        (KeyboardInterrupt("a bug"), RuntimeError),
    ],
)
async def test_every_error_reaches_the_loop_before_the_end(
    owner: Owner, error: BaseException, told: type[Exception]
) -> None:
    """The owner hears of it on the loop, and its pulse does not grow old."""

    def serve(_: Pulse) -> None:
        raise error

    thread = owner.thread(serve)
    thread.start()
    async with limited("the thread"):
        await thread.join()

    [(failure, where)] = owner.failures
    assert type(failure) is told
    assert "a bug" in str(failure)
    assert where == threading.get_ident()
    assert owner.pulses.beats() == {}


async def test_failure_handler_that_fails_does_not_hold_up_the_end(owner: Owner) -> None:
    """The loop reports its error, and the owner can still be closed."""
    reported: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, about: reported.append(about.get("exception")))
    bug = Bug()

    def fails(error: Exception) -> None:
        raise error

    def serve(_: Pulse) -> None:
        raise bug

    thread = ServiceThread("service", serve, pulses=owner.pulses, failed=fails)
    thread.start()
    async with limited("the thread"):
        await thread.join()

    assert reported == [bug]


async def test_loop_turns_while_it_waits_for_the_end(owner: Owner) -> None:
    """The thread can take long, and the loop serves every other task until then."""
    thread = owner.thread()
    thread.start()
    # Only the turning loop lets the thread end.
    asyncio.get_running_loop().call_soon(owner.may_end.set)
    async with limited("the thread"):
        await asyncio.gather(thread.join(), thread.join())
        await thread.join()


async def test_wait_for_the_end_can_be_cancelled(owner: Owner) -> None:
    """The thread goes on, and others can wait for it."""
    thread = owner.thread()
    thread.start()
    joining = asyncio.create_task(thread.join())
    await asyncio.sleep(0)
    joining.cancel()
    async with limited("the cancellation"):
        with pytest.raises(asyncio.CancelledError):
            await joining
        assert owner.pulses.beats().keys() == {"service"}
        owner.may_end.set()
        await thread.join()


async def test_thread_that_was_never_started_has_ended(owner: Owner) -> None:
    """Its owner can fail before the start, and closes all the same."""
    async with limited("the thread"):
        await owner.thread().join()


def test_thread_ends_quietly_when_its_loop_has_ended(owner: Owner, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that ends shows no traceback of its threads."""
    shown: list[object] = []
    monkeypatch.setattr(threading, "excepthook", shown.append)

    def serve(_: Pulse) -> None:
        owner.may_end.wait()
        raise Bug

    async def begin() -> ServiceThread:
        thread = owner.thread(serve)
        thread.start()
        return thread

    thread = asyncio.run(begin())
    owner.may_end.set()
    thread.join_from_thread()

    assert shown == []
    assert owner.failures == []
    assert owner.pulses.beats() == {}


def test_every_thread_of_the_log_is_one() -> None:
    """A thread that is made by hand forgets one of the promises above."""
    by_hand = [
        path
        for path in Path(streamer.log.__path__[0]).rglob("*.py")
        if "threading.Thread(" in path.read_text(encoding="utf-8")
    ]

    assert not by_hand
