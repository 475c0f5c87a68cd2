"""Losses: events that a configuration's channels no longer get once a plan is carried out."""

from collections.abc import Iterable
from dataclasses import dataclass

from streamer.salesforce.tooling.changes import Action, ChangePlan
from streamer.salesforce.tooling.setup import ChannelMember


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """Events that a channel in use no longer gets.

    `names` are entities and platform events. With a `filter`, only the events that
    do not match it are lost. `is_gone` is true when the channel itself is deleted.
    """

    path: str
    names: tuple[str, ...]
    filter: str | None = None
    is_gone: bool = False


def losses(plan: ChangePlan, paths: Iterable[str]) -> list[Loss]:
    """Return the losses of the channels at `paths` by a plan."""
    after = plan.after
    gone = {each.path for each in plan.before.channels} - {each.path for each in after.channels}
    found = []
    for path in dict.fromkeys(paths):
        names = plan.before.carried(path) - after.carried(path)
        if names or path in gone:
            found.append(Loss(path=path, names=tuple(sorted(names)), is_gone=path in gone))
        found += (
            Loss(path=path, names=(member.entity,), filter=member.filter) for member in _narrowed(plan, path)
        )
    return found


def _narrowed(plan: ChangePlan, path: str) -> list[ChannelMember]:
    """Return the members of a channel that get a first or another filter."""
    channel = path.rpartition("/")[2]
    changed = (each.subject for each in plan.changes if each.action is Action.CHANGE)
    members = (each for each in changed if isinstance(each, ChannelMember) and each.channel == channel)
    return [each for each in members if each.filter and each.filter != _filter_before(plan, each)]


def _filter_before(plan: ChangePlan, member: ChannelMember) -> str | None:
    before = plan.before.member(member.channel, member.selected)
    return before.filter if before else None
