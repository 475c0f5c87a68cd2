"""Examination: runs checks at the same time, each within its time."""

import asyncio
from collections.abc import Callable, Sequence

from streamer.clock import Clock
from streamer.doctor.check import Check, CheckResult, Finding, Inapplicable, failed, skipped
from streamer.errors import StreamerError


async def examine(
    checks: Sequence[Check],
    clock: Clock,
    *,
    timeout_s: float,
    progress: Callable[[Check], None] = lambda _: None,
) -> list[Finding]:
    """Run all `checks` at the same time, and return their findings in the order of the checks.

    Each has `timeout_s` seconds. `progress` is called for each that has ended. No
    error of a check reaches another one, or the caller.
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
        # A broken check is a finding, and a plugin's own call can raise anything.
        if isinstance(error, KeyboardInterrupt) or _is_cancelled(error, cancellations):
            raise
        if isinstance(error, TimeoutError) and clock.monotonic() - began >= timeout_s:
            remedy = "check the way to it, or give the checks more time with --timeout"
            return [failed(f"no result within {timeout_s:g} s", remedy)]
        # Its text can hold a secret.
        remedy = "report it as a mistake of Streamer, or of the plugin where the check is of a subscriber"
        return [failed(f"the check itself ended with {type(error).__name__}", remedy)]
    return [made] if isinstance(made, CheckResult) else made


def _is_cancelled(error: BaseException, cancellations_before: int) -> bool:
    """Return whether the examination itself was cancelled, and not a task within the check."""
    return isinstance(error, asyncio.CancelledError) and _cancellations() > cancellations_before


def _cancellations() -> int:
    task = asyncio.current_task()
    return 0 if task is None else task.cancelling()
