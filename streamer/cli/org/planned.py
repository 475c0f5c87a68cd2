"""Shows planned changes, asks, makes the changes, and reports the outcomes."""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated

import typer
from rich.console import Console

from streamer.cli.org.connection import ConfiguredChannels, OrgConnection
from streamer.cli.output import (
    AsJson,
    confirmed,
    console,
    counted,
    plain,
    print_json,
    print_table,
    sentences_aside,
)
from streamer.errors import ConfigurationError
from streamer.events import JsonObject
from streamer.salesforce.tooling.changes import ChangePlan, Loss, SetupChange, losses
from streamer.salesforce.tooling.client import ChangeOutcome, Result, execute
from streamer.salesforce.tooling.setup import (
    ENTITIES_WITHOUT_ADD_ON,
    ChannelMember,
    ChannelSetup,
    CustomChannel,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanOptions:
    """Options of a command that shows its plan and asks."""

    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan, and change nothing.")] = False
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")] = False
    as_json: AsJson = False

    def given(self, question: str) -> bool:
        """Return true if the command should make the changes.

        Raises `typer.Abort` when the operator says no, and `ConfigurationError`
        without a terminal to ask on.
        """
        if self.dry_run or self.yes:
            return not self.dry_run
        if not sys.stdin.isatty():
            raise ConfigurationError(
                "Nothing was changed, because there is no terminal on which you could confirm the plan: "
                "add --yes to make the changes, or --dry-run to see only the plan."
            )
        return confirmed(question)


async def carry_out(org: OrgConnection, plan: ChangePlan, options: PlanOptions) -> None:
    """Show a plan and make its changes, if the operator agrees.

    Raises `typer.Exit` with status 1 when a change was not made.
    """
    for change in plan.changes:
        org.tooling.check(change)
    with sentences_aside(options.as_json):
        outcomes = await _carried_out(org, plan, options)
    if options.as_json:
        print_json(_json(plan, outcomes))
    with sentences_aside(options.as_json):
        _report(outcomes)


async def _carried_out(org: OrgConnection, plan: ChangePlan, options: PlanOptions) -> Sequence[ChangeOutcome]:
    """Show a plan and make its changes, if the operator agrees."""
    outcomes: list[ChangeOutcome] = []
    for sentence in plan.already:
        console().print(plain(sentence), soft_wrap=True)
    if not plan.changes:
        return outcomes
    print_table(map(_line, plan.changes), empty="")
    for sentence in (*_consequences(plan), *_warnings(plan, org.reading)):
        console().print(plain(sentence), soft_wrap=True)
    if not options.given(f"Make {counted(len(plan.changes), 'change')}?"):
        return outcomes
    async for outcome in execute(org.tooling, plan):
        outcomes.append(outcome)
        # Each outcome is printed at once, so an operator who interrupts the command knows
        # which changes were made.
        if outcome.result is Result.MADE:
            console().print(plain(f"{outcome.result}: {outcome.change}"), soft_wrap=True)
    return outcomes


def _json(plan: ChangePlan, outcomes: Sequence[ChangeOutcome]) -> JsonObject:
    """Return the changes of a plan, each with its `result`, which is `None` for a change not yet begun."""
    became = {id(each.change): each for each in outcomes}
    changes = []
    for change in plan.changes:
        outcome = became.get(id(change))
        told = {"result": str(outcome.result), "reason": outcome.reason} if outcome else {}
        named = {name.lower(): value for name, value in _line(change).items()}
        changes.append({**named, "result": None, "reason": "", **told})
    return {"changes": changes, "already": list(plan.already)}


def allocation(setup: ChannelSetup) -> str:
    """Return a sentence with the number of selected entities and the limit."""
    count = len(setup.entities)
    selected = "1 entity is" if count == 1 else f"{count:,} entities are"
    return (
        f"{selected} selected on all channels together; an org without an add-on can select "
        f"{ENTITIES_WITHOUT_ADD_ON} entities."
    )


def _line(change: SetupChange) -> JsonObject:
    if isinstance(change.subject, CustomChannel):
        line: JsonObject = {"CHANNEL": change.subject.name, "ENTITY": None, "FILTER": None, "ENRICHED": None}
    else:
        line = member_line(change.subject)
    return {"CHANGE": str(change.action), **line}


def member_line(member: ChannelMember) -> JsonObject:
    """Return a member's table row."""
    return {
        "CHANNEL": member.channel,
        "ENTITY": member.entity,
        "FILTER": member.filter,
        "ENRICHED": ", ".join(member.enriched),
    }


def _consequences(plan: ChangePlan) -> Iterator[str]:
    before, after = plan.before, plan.after
    for change in plan.changes:
        if isinstance(change.subject, CustomChannel) and (gone := before.of(change.subject.name)):
            names = ", ".join(each.entity for each in gone)
            yield f"Deleting the channel {change.subject.name} also removes its members: {names}."
    still = before.entities & after.entities
    for member in (each.subject for each in plan.changes if each.subject not in after.members):
        if isinstance(member, ChannelMember) and member.entity in still:
            others = sorted({each.channel for each in after.members if each.entity == member.entity})
            where = ", ".join(others)
            yield f"{member.entity} stays selected on {where}, and still counts towards the limit."
    if before.entities != after.entities:
        yield f"Afterwards {allocation(after)}"
    if len(after.entities) > max(ENTITIES_WITHOUT_ADD_ON, len(before.entities)):
        yield f"Without an add-on, Salesforce refuses more than {ENTITIES_WITHOUT_ADD_ON} entities."


def _warnings(plan: ChangePlan, reading: ConfiguredChannels) -> Iterator[str]:
    for loss in losses(plan, reading.paths):
        yield f"Warning: {_loss(loss)}"
        for name in loss.names:
            if subscribers := reading.subscribers_of(loss.path, name):
                take = "takes" if len(subscribers) == 1 else "take"
                yield f"  {', '.join(subscribers)} {take} events of {name}."


def _loss(loss: Loss) -> str:
    names = ", ".join(loss.names)
    if loss.is_gone:
        of = f", with the events of {names}" if names else ""
        return (
            f"the change deletes {loss.path}{of}, but the configuration reads this channel. Salesforce "
            "then refuses subscriptions, and Streamer reports the channel as down. Events that Streamer "
            "has not read are lost. Remove the channel from the configuration first."
        )
    if loss.filter:
        return (
            f"events of {names} that do not match {loss.filter} no longer arrive on {loss.path}, which "
            "the configuration reads. Such events can't be read later."
        )
    return (
        f"events of {names} no longer arrive on {loss.path}, which the configuration reads. If you select "
        f"{names} again later, Salesforce does not send the changes made in between."
    )


def _report(outcomes: Sequence[ChangeOutcome]) -> None:
    if not outcomes:
        return
    made = [each for each in outcomes if each.result is Result.MADE]
    if len(made) == len(outcomes):
        if any(isinstance(each.change.subject, ChannelMember) for each in made):
            console().print("The change affects only later events.")
        return
    errors = Console(stderr=True, highlight=False, soft_wrap=True)
    errors.print(f"streamer: {len(made)} of {counted(len(outcomes), 'change')} {_was(len(made))} made:")
    for each in outcomes:
        if each.result is not Result.MADE:
            errors.print(plain(f"  {each.result}: {_why(each)}"))
    raise typer.Exit(1)


def _why(outcome: ChangeOutcome) -> str:
    match outcome.result:
        case Result.NOT_TRIED:
            return f"{outcome.change}, because the change before it failed"
        case Result.UNCERTAIN:
            return (
                f"{outcome.change}: {outcome.reason}. Salesforce possibly made the change: check "
                "`streamer org channels list` and `streamer org cdc list` before you repeat the command"
            )
        case _:
            return (
                outcome.reason
                if str(outcome.change) in outcome.reason
                else f"{outcome.change}: {outcome.reason}"
            )


def _was(count: int) -> str:
    return "was" if count == 1 else "were"
