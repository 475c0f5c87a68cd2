"""Execution of a plan, one change after the other, with the outcome of each."""

from dataclasses import dataclass
from enum import StrEnum

from streamer.errors import SalesforceUnavailable, StreamerError
from streamer.salesforce.tooling.changes import Change, ChangePlan
from streamer.salesforce.tooling.client import Tooling
from streamer.salesforce.tooling.refusals import SetupRefused


class Result(StrEnum):
    """What came of a change."""

    MADE = "made"
    NOT_MADE = "not made"
    UNCERTAIN = "uncertain"
    """The answer was lost, and the setup can't be read."""
    NOT_TRIED = "not tried"
    """An earlier change failed in a way in which this one would fail too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A change, what came of it, and the reason where it was not made."""

    change: Change
    result: Result
    reason: str = ""


async def execute(tooling: Tooling, plan: ChangePlan) -> tuple[Outcome, ...]:
    """Make the changes of a plan in their order, and return an outcome for each.

    A refusal of one change does not keep the others from being tried, unless
    Salesforce would refuse them as well. Where the answer to a change was lost,
    the setup is read again to see whether the change was made.
    """
    outcomes: list[Outcome] = []
    for number, change in enumerate(plan.changes):
        try:
            await tooling.make(change)
        except StreamerError as error:
            outcomes.append(await _failed(tooling, change, error))
            if not isinstance(error, SetupRefused) or error.is_final:
                rest = plan.changes[number + 1 :]
                outcomes += (Outcome(change=each, result=Result.NOT_TRIED) for each in rest)
                break
        else:
            outcomes.append(Outcome(change=change, result=Result.MADE))
    return tuple(outcomes)


async def _failed(tooling: Tooling, change: Change, error: StreamerError) -> Outcome:
    reason = str(error)
    is_in_doubt = isinstance(error, SalesforceUnavailable) or (
        # Another operator may have been faster.
        isinstance(error, SetupRefused) and error.found
    )
    if not is_in_doubt:
        return Outcome(change=change, result=Result.NOT_MADE, reason=reason)
    try:
        made = change.is_made(await tooling.setup())
    except StreamerError:
        uncertain = isinstance(error, SalesforceUnavailable)
        return Outcome(
            change=change, result=Result.UNCERTAIN if uncertain else Result.NOT_MADE, reason=reason
        )
    return Outcome(
        change=change, result=Result.MADE if made else Result.NOT_MADE, reason="" if made else reason
    )
