"""Check: one question about a set-up, and its findings."""

import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

# Errors end with their remedy: what begins with one of these words behind a colon.
_REMEDY = re.compile(
    r":\s(?=(?:activate|allow|ask|check|choose|correct|create|enable|end|exclude|give|grant|if|issue|let|look|lower|"
    r"make|mend|name|point|pre-authorise|raise|remove|restore|run|set|start|stop|unarchive|use|wait)\b)"
)


class CheckStatus(StrEnum):
    """Result of a check."""

    OK = "ok"
    WARNING = "warning"
    """It works now, and can fail or lose something later."""
    FAILED = "failed"
    SKIPPED = "skipped"
    """It could not be checked, or there is nothing to check."""


class Area(StrEnum):
    """Part of the set-up that a check is about."""

    CONFIGURATION = "configuration"
    FILES = "files"
    CLOCK = "clock"
    ORG = "org"
    CHANNELS = "channels"
    LIMITS = "limits"
    LOG = "log"
    SUBSCRIBERS = "subscribers"


class CheckResult(NamedTuple):
    """Outcome of a check: what was found, and what to do about it."""

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
    """One question, by the `name` that its findings have.

    `run` returns one verdict, or several, each of them a line. It raises an error
    of Streamer's own for a fault, and `Inapplicable` where there is nothing to
    check.
    """

    area: Area
    name: str
    run: Callable[[], Awaitable[CheckResult | Sequence[CheckResult]]]


class Inapplicable(Exception):
    """The check can't be made; the message says why."""


def ok(found: str) -> CheckResult:
    """Return the verdict of a check that found no fault."""
    return CheckResult(CheckStatus.OK, found)


def warning(found: str, remedy: str) -> CheckResult:
    """Return the verdict of a check that found what can fail later."""
    return CheckResult(CheckStatus.WARNING, found, remedy)


def failed(found: str, remedy: str = "") -> CheckResult:
    """Return the verdict of a check that found a fault; a remedy at the end of `found` is split off."""
    if remedy:
        return CheckResult(CheckStatus.FAILED, found, remedy)
    *faults, last = _REMEDY.split(found)
    # Only the last part is advice; an earlier one can quote another sentence.
    return (
        CheckResult(CheckStatus.FAILED, ": ".join(faults), last)
        if faults
        else CheckResult(CheckStatus.FAILED, found)
    )


def counted(number: int, noun: str) -> str:
    """Return `number` with `noun` in the singular or plural."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def skipped(reason: str) -> CheckResult:
    """Return the verdict of what could not be checked."""
    return CheckResult(CheckStatus.SKIPPED, reason)
