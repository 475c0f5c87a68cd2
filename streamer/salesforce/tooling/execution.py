"""Execution of a plan, one change after another, with the outcome of each change."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from enum import StrEnum

from streamer.errors import SalesforceUnavailable, StreamerError
from streamer.salesforce.tooling.changes import ChangePlan, SetupChange
from streamer.salesforce.tooling.client import Tooling
from streamer.salesforce.tooling.refusals import SetupRefused


class Result(StrEnum):
    """Outcome of a change."""

    MADE = "made"
    NOT_MADE = "not made"
    UNCERTAIN = "uncertain"
    """The answer was lost, and the setup can't be read to find out whether the change was made."""
    NOT_TRIED = "not tried"
    """An earlier change failed for a reason that also affects this change."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeOutcome:
    """A change and its result, with the reason if it was not made."""

    change: SetupChange
    result: Result
    reason: str = ""


async def execute(tooling: Tooling, plan: ChangePlan) -> AsyncIterator[ChangeOutcome]:
    """Make the changes of a plan in order; yield the outcome of each change as soon as it is known.

    After a refusal, the other changes are still tried, unless the refusal is final.
    If the answer to a change was lost, the setup is read again to see whether the
    change was made.
    """
    is_over = False
    for change in plan.changes:
        if is_over:
            yield ChangeOutcome(change=change, result=Result.NOT_TRIED)
            continue
        try:
            await tooling.make(change)
        except StreamerError as error:
            is_over = not isinstance(error, SetupRefused) or error.is_final
            yield await _failed(tooling, change, error)
        else:
            yield ChangeOutcome(change=change, result=Result.MADE)


async def _failed(tooling: Tooling, change: SetupChange, error: StreamerError) -> ChangeOutcome:
    reason = str(error)
    is_in_doubt = isinstance(error, SalesforceUnavailable) or (
        # Another operator can have made the change first.
        isinstance(error, SetupRefused) and error.found
    )
    if not is_in_doubt:
        return ChangeOutcome(change=change, result=Result.NOT_MADE, reason=reason)
    try:
        made = change.is_made(await tooling.setup())
    except StreamerError:
        uncertain = isinstance(error, SalesforceUnavailable)
        return ChangeOutcome(
            change=change, result=Result.UNCERTAIN if uncertain else Result.NOT_MADE, reason=reason
        )
    return ChangeOutcome(
        change=change, result=Result.MADE if made else Result.NOT_MADE, reason="" if made else reason
    )
