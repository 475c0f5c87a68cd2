"""Checks, each of a single question about a set-up; all checks run concurrently with a time-out."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, NamedTuple, TypeVar

from streamer.clock import Clock
from streamer.errors import RetryLater, StreamerError

# An error can end with its remedy: a colon, then a clause that begins with one of these words.
_REMEDY = re.compile(
    r":\s(?=(?:activate|allow|ask|check|choose|correct|create|enable|end|exclude|give|grant|if|issue|let|look|lower|"
    r"make|mend|name|point|pre-authorise|raise|remove|restore|run|set|start|stop|unarchive|use|wait)\b)"
)


class CheckStatus(StrEnum):
    """Result of a check."""

    OK = "ok"
    WARNING = "warning"
    """The part works now, but can fail or lose events later."""
    FAILED = "failed"
    SKIPPED = "skipped"
    """The check was impossible, or there is nothing to check."""


class Area(StrEnum):
    """Part of the set-up that a check covers."""

    CONFIGURATION = "configuration"
    FILES = "files"
    CLOCK = "clock"
    ORG = "org"
    CHANNELS = "channels"
    LIMITS = "limits"
    LOG = "log"
    SUBSCRIBERS = "subscribers"


class CheckResult(NamedTuple):
    """Outcome of a check: the sentence `found`, and the remedy."""

    status: CheckStatus
    found: str
    remedy: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One line of the report."""

    area: Area
    name: str
    verdict: CheckResult


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One question about the set-up; `name` heads its findings.

    `run` returns one result or several; each result becomes a line. For a fault, `run`
    raises one of Streamer's errors. If there is nothing to check, `run` raises
    `Inapplicable`.
    """

    area: Area
    name: str
    run: Callable[[], Awaitable[CheckResult | Sequence[CheckResult]]]


class Inapplicable(Exception):
    """The check is impossible; the message names the reason."""


def ok(found: str) -> CheckResult:
    """Return the result of a check without a fault."""
    return CheckResult(CheckStatus.OK, found)


def warning(found: str, remedy: str) -> CheckResult:
    """Return the result of a check that found a possible later fault."""
    return CheckResult(CheckStatus.WARNING, found, remedy)


def failed(found: str, remedy: str = "") -> CheckResult:
    """Return the result of a check that found a fault; without `remedy`, the end of `found` is the remedy."""
    if remedy:
        return CheckResult(CheckStatus.FAILED, found, remedy)
    *faults, last = _REMEDY.split(found)
    # Only the last part is the remedy; an earlier part can quote another sentence.
    return (
        CheckResult(CheckStatus.FAILED, ": ".join(faults), last)
        if faults
        else CheckResult(CheckStatus.FAILED, found)
    )


def counted(number: int, noun: str) -> str:
    """Return `number` with `noun` in the singular or plural."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def skipped(reason: str) -> CheckResult:
    """Return the result of an impossible check."""
    return CheckResult(CheckStatus.SKIPPED, reason)


async def examine(
    checks: Sequence[Check],
    clock: Clock,
    *,
    timeout_s: float,
    progress: Callable[[Check], None] = lambda _: None,
) -> list[Finding]:
    """Run all `checks` concurrently, and return their findings in the order of `checks`.

    Each check has `timeout_s` seconds. `progress` is called after each check. An
    error in a check affects neither other checks nor the caller.
    """

    async def verdicts(check: Check) -> Sequence[CheckResult]:
        made = await _verdicts(check, clock, timeout_s)
        progress(check)
        return made

    made = await asyncio.gather(*map(verdicts, checks))
    return [
        Finding(area=check.area, name=check.name, verdict=verdict)
        for check, found in zip(checks, made, strict=True)
        for verdict in found
    ]


async def _verdicts(check: Check, clock: Clock, timeout_s: float) -> Sequence[CheckResult]:
    began, cancellations = clock.monotonic(), _cancellations()
    try:
        async with clock.timeout(timeout_s):
            made = await check.run()
    except Inapplicable as reason:
        return [skipped(str(reason))]
    except StreamerError as error:
        return [failed(str(error))]
    except BaseException as error:
        # A broken check becomes a finding, because a plugin's code can raise any exception.
        if isinstance(error, KeyboardInterrupt) or _is_cancelled(error, cancellations):
            raise
        if isinstance(error, TimeoutError) and clock.monotonic() - began >= timeout_s:
            remedy = "check the network, or allow more time with --timeout"
            return [failed(f"the check had no result within {timeout_s:g} s", remedy)]
        # The error's text can hold a secret.
        remedy = (
            "report this error to Streamer's authors; if a subscriber's check failed, report it to the "
            "plugin's author"
        )
        return [failed(f"the check could not finish, because its code raised {type(error).__name__}", remedy)]
    return [made] if isinstance(made, CheckResult) else made


def _is_cancelled(error: BaseException, cancellations_before: int) -> bool:
    """Return true if the examination itself was cancelled, and not a task within the check."""
    return isinstance(error, asyncio.CancelledError) and _cancellations() > cancellations_before


def _cancellations() -> int:
    task = asyncio.current_task()
    return 0 if task is None else task.cancelling()


_Result = TypeVar("_Result")
# This time ends before the caller's own time, so the caller gets the error.
_SHARE = 0.9


class Once(Generic[_Result]):
    """Makes a call when the first caller asks for its result; all callers get the same result or error.

    If a caller runs out of time, the call continues for other callers.
    """

    def __init__(self, call: Callable[[], Awaitable[_Result]], clock: Clock, *, timeout_s: float) -> None:
        """Make `call` within `timeout_s` seconds, the time-out of a check."""
        self._call = call
        self._clock = clock
        self._within_s = timeout_s * _SHARE
        self._task: asyncio.Task[_Result] | None = None

    async def __call__(self) -> _Result:
        """Return the result or raise the error. Raises `RetryLater` when the call takes too long."""
        if self._task is None:
            self._task = asyncio.create_task(self._made())
        return await asyncio.shield(self._task)

    async def needed(self, what: str) -> _Result:
        """Return the result.

        Raises `Inapplicable` instead of the call's error, because another check reports
        that `what` failed.
        """
        try:
            return await self()
        except StreamerError as error:
            raise Inapplicable(f"this check needs {what}, which failed") from error

    async def end(self) -> None:
        """Cancel a call that still runs."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
            if not self._task.cancelled():
                # Perhaps no caller is left to retrieve the error.
                self._task.exception()

    async def _made(self) -> _Result:
        try:
            async with self._clock.timeout(self._within_s):
                return await self._call()
        except TimeoutError as exc:
            raise RetryLater(
                f"no answer within {self._within_s:g} s: check the network, or allow more time with --timeout"
            ) from exc
