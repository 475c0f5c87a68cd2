"""Planned changes to the setup of channels, and the losses that they cause."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from streamer.errors import ConfigurationError
from streamer.salesforce.tooling.refusals import SetupRefused
from streamer.salesforce.tooling.setup import (
    DEFAULT_CHANNEL,
    ChannelMember,
    ChannelSetup,
    CustomChannel,
    change_event,
    channel_name,
    custom_channel_name,
    entity_of,
    event_name,
    member_name,
)


class Action(StrEnum):
    """Kind of a change."""

    CREATE = "create"
    CHANGE = "change"
    DELETE = "delete"


@dataclass(frozen=True, slots=True, kw_only=True)
class SetupChange:
    """One request to Salesforce that creates, changes or deletes a channel or a member.

    If `subject` does not exist yet, its id is empty.
    """

    action: Action
    subject: CustomChannel | ChannelMember

    def __str__(self) -> str:
        """Return the change in words."""
        if isinstance(self.subject, CustomChannel):
            return f"{self.action} the channel {self.subject.name}"
        entity, channel = self.subject.entity, self.subject.channel
        match self.action:
            case Action.CREATE:
                return f"select {entity} for {channel}"
            case Action.CHANGE:
                return f"change {entity} on {channel}"
            case Action.DELETE:
                return f"deselect {entity} on {channel}"

    def is_made(self, setup: ChannelSetup) -> bool:
        """Return whether `setup` already shows the result of this change."""
        subject, is_deletion = self.subject, self.action is Action.DELETE
        if isinstance(subject, CustomChannel):
            return (setup.channel(subject.name) is None) == is_deletion
        found = setup.member(subject.channel, subject.selected)
        if found is None or is_deletion:
            return (found is None) == is_deletion
        return (found.filter, found.enriched) == (subject.filter, subject.enriched)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangePlan:
    """Changes to make, and sentences about the parts that need no change."""

    before: ChannelSetup
    changes: tuple[SetupChange, ...] = ()
    already: tuple[str, ...] = ()

    @property
    def after(self) -> ChannelSetup:
        """The setup after all changes."""
        setup = self.before
        for change in self.changes:
            setup = _changed(setup, change)
        return setup


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberOptions:
    """Wanted filter and enriched fields of a member; `None` leaves the current filter or fields."""

    filter: str | None = None
    enriched: tuple[str, ...] | None = None


def enabling(setup: ChannelSetup, entities: Sequence[str]) -> ChangePlan:
    """Return the plan that selects entities for the default channel. Raises `ConfigurationError`."""
    plans = (_adding(setup, DEFAULT_CHANNEL, each, MemberOptions()) for each in _events(entities))
    return _joined(setup, plans)


def disabling(setup: ChannelSetup, entities: Sequence[str]) -> ChangePlan:
    """Return the plan that deselects entities of the default channel. Raises `ConfigurationError`."""
    return _joined(setup, (_removing(setup, DEFAULT_CHANNEL, each) for each in _events(entities)))


def creating(setup: ChannelSetup, name: str, kind: str, label: str | None) -> ChangePlan:
    """Return the plan that creates a custom channel.

    Raises `ConfigurationError`, and `SetupRefused` if the channel exists with another kind.
    """
    name = custom_channel_name(name)
    found = setup.channel(name)
    if found is not None and found.kind != kind:
        raise SetupRefused(
            f"the channel {found.name} already exists with the type {found.kind}, and the type of a "
            "channel can't be changed: choose another name, or delete the channel first"
        )
    if found is not None:
        return ChangePlan(before=setup, already=(f"The channel {found.name} already exists.",))
    channel = CustomChannel(id="", name=name, kind=kind, label=label or name.removesuffix("__chn"))
    return ChangePlan(before=setup, changes=(SetupChange(action=Action.CREATE, subject=channel),))


def adding(setup: ChannelSetup, channel: str, entity: str, options: MemberOptions) -> ChangePlan:
    """Return the plan that adds an entity or a platform event to a channel, or changes its options there.

    Raises `ConfigurationError`, and `SetupRefused` if the channel does not exist.
    """
    name, kind = _known(setup, channel)
    if kind == "event" and options.enriched:
        raise ConfigurationError("--enrich works only for change events: platform events can't be enriched")
    return _adding(setup, name, event_name(entity) if kind == "event" else change_event(entity), options)


def removing(setup: ChannelSetup, channel: str, entity: str) -> ChangePlan:
    """Return the plan that removes an entity or a platform event from a channel.

    Raises the errors of `adding`.
    """
    name, kind = _known(setup, channel)
    return _removing(setup, name, event_name(entity) if kind == "event" else change_event(entity))


def deleting(setup: ChannelSetup, name: str) -> ChangePlan:
    """Return the plan that deletes a custom channel with its members. Raises `ConfigurationError`."""
    name = custom_channel_name(name)
    found = setup.channel(name)
    if found is None:
        return ChangePlan(before=setup, already=(f"There is no channel {name}.",))
    return ChangePlan(before=setup, changes=(SetupChange(action=Action.DELETE, subject=found),))


def _events(entities: Iterable[str]) -> list[str]:
    events: dict[str, str] = {}
    for event in map(change_event, entities):
        events.setdefault(event.lower(), event)
    return [*events.values()]


def _known(setup: ChannelSetup, channel: str) -> tuple[str, str]:
    """Return a channel's name in the org's spelling, and its kind. Raises `SetupRefused`."""
    name = channel_name(channel)
    found = setup.channel(name)
    kind = setup.kind(name)
    if kind is None:
        raise SetupRefused(
            f"There is no channel {name}: run `streamer org channels list` to see the channels, or "
            f"create this channel with `streamer org channels create {name}`"
        )
    return (found.name if found else name), kind


def _adding(setup: ChannelSetup, channel: str, selected: str, options: MemberOptions) -> ChangePlan:
    found = setup.member(channel, selected)
    if found is None:
        full_name = member_name(channel, selected)
        wanted = ChannelMember(id="", full_name=full_name, channel=channel, selected=selected)
        action = Action.CREATE
    else:
        wanted, action = found, Action.CHANGE
    if options.filter is not None:
        wanted = replace(wanted, filter=options.filter or None)
    if options.enriched is not None:
        wanted = replace(wanted, enriched=tuple(sorted(options.enriched)))
    if wanted == found:
        sentence = f"{wanted.entity} is already selected for {channel}{_described(found)}."
        return ChangePlan(before=setup, already=(sentence,))
    return ChangePlan(before=setup, changes=(SetupChange(action=action, subject=wanted),))


def _described(member: ChannelMember) -> str:
    parts = [f"the filter {member.filter}"] if member.filter else []
    parts += [f"enriched with {', '.join(member.enriched)}"] if member.enriched else []
    return f" ({'; '.join(parts)})" if parts else ""


def _removing(setup: ChannelSetup, channel: str, selected: str) -> ChangePlan:
    found = setup.member(channel, selected)
    if found is None:
        sentence = f"{entity_of(selected)} is not selected for {channel}."
        return ChangePlan(before=setup, already=(sentence,))
    return ChangePlan(before=setup, changes=(SetupChange(action=Action.DELETE, subject=found),))


def _joined(setup: ChannelSetup, plans: Iterable[ChangePlan]) -> ChangePlan:
    every = list(plans)
    return ChangePlan(
        before=setup,
        changes=tuple(change for each in every for change in each.changes),
        already=tuple(sentence for each in every for sentence in each.already),
    )


def _changed(setup: ChannelSetup, change: SetupChange) -> ChannelSetup:
    subject = change.subject
    if isinstance(subject, CustomChannel):
        channels = tuple(each for each in setup.channels if each.name != subject.name)
        if change.action is not Action.DELETE:
            return replace(setup, channels=(*channels, subject))
        # Salesforce deletes the members with their channel.
        members = tuple(each for each in setup.members if each.channel != subject.name)
        return ChannelSetup(channels=channels, members=members)
    place = (subject.channel, subject.selected)
    others = tuple(each for each in setup.members if (each.channel, each.selected) != place)
    return replace(setup, members=others if change.action is Action.DELETE else (*others, subject))


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """Events that a channel in use no longer receives.

    `names` are entities and platform events. With a `filter`, only events that
    do not match the filter are lost. `is_gone` is true if the channel itself is
    deleted.
    """

    path: str
    names: tuple[str, ...]
    filter: str | None = None
    is_gone: bool = False


def losses(plan: ChangePlan, paths: Iterable[str]) -> list[Loss]:
    """Return the losses that a plan causes on the channels at `paths`."""
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
    """Return the members of a channel that get a new or different filter."""
    channel = path.rpartition("/")[2]
    changed = (each.subject for each in plan.changes if each.action is Action.CHANGE)
    members = (each for each in changed if isinstance(each, ChannelMember) and each.channel == channel)
    return [each for each in members if each.filter and each.filter != _filter_before(plan, each)]


def _filter_before(plan: ChangePlan, member: ChannelMember) -> str | None:
    before = plan.before.member(member.channel, member.selected)
    return before.filter if before else None
