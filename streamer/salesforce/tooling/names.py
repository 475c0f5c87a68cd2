"""Names of entities, channels and members in the Tooling API.

CDC guide, subscription channels; Tooling API guide, PlatformEventChannelMember.
"""

import re

from streamer.channel_paths import change_channel, changed_entity
from streamer.errors import ConfigurationError

DEFAULT_CHANNEL = "ChangeEvents"
"""Channel of all selected entities, `/data/ChangeEvents`; it can't be created or deleted."""

_NAME = re.compile(r"[A-Za-z]\w{0,99}", re.ASCII)
_CHANNEL = re.compile(r"(?:[A-Za-z][A-Za-z0-9]{0,14}__)?[A-Za-z](?:_?[A-Za-z0-9]){0,79}__chn", re.ASCII)
_OF_DATA_360 = re.compile(r"(?:\w{1,15}__)?DataCloudEntities(?:__chn)?", re.ASCII | re.IGNORECASE)
_PATH = re.compile(r"/(?:data|event)/")


def change_event(entity: str) -> str:
    """Return the name of an entity's change events: `Invoice__ChangeEvent` for `Invoice__c`.

    The name of change events stands for itself. Raises `ConfigurationError` for
    what can't be an entity.
    """
    if entity.endswith("__e"):
        raise ConfigurationError(
            f"{entity} is a platform event, which needs no selection: `streamer org channels add` puts it on "
            "a custom channel of type event"
        )
    if _NAME.fullmatch(entity) is None or entity.endswith("__chn"):
        raise ConfigurationError(f"{entity!r} is not the name of an entity, such as Account or Invoice__c")
    if is_change_event(entity):
        return entity
    return change_channel(entity).rpartition("/")[2]


def entity_of(selected: str) -> str:
    """Return the entity of a name of change events; a platform event stands for itself."""
    return changed_entity(f"/data/{selected}") or selected


def is_change_event(selected: str) -> bool:
    """Return whether this is the name of change events, and not of a platform event."""
    return entity_of(selected) != selected


def event_name(name: str) -> str:
    """Return the name of a platform event; raises `ConfigurationError` for what can't be one."""
    if _NAME.fullmatch(name) is None or name.endswith(("__c", "__chn")) or is_change_event(name):
        raise ConfigurationError(
            f"{name!r} is not the name of a platform event, such as Order_Placed__e; "
            "a channel of type event carries no changes"
        )
    return name


def channel_name(text: str) -> str:
    """Return the name of a channel that is given by name or by path.

    Raises `ConfigurationError`, also for the channel of Data 360, which nobody
    else may change.
    """
    name = _PATH.sub("", text, count=1) if _PATH.match(text) else text
    check_is_ours(name)
    if name != DEFAULT_CHANNEL and _CHANNEL.fullmatch(name) is None:
        raise ConfigurationError(f"{text!r} is not the name of a custom channel, such as Erp__chn")
    return name


def check_is_ours(name: str) -> None:
    """Raise `ConfigurationError` for the channel by which Data 360 reads the org (CDC guide)."""
    if _OF_DATA_360.fullmatch(name):
        raise ConfigurationError(
            f"{name} is the channel of Data 360, which must not be changed: choose another one, or change "
            "the data streams in Data 360"
        )


def custom_channel_name(text: str) -> str:
    """Return the name of a custom channel; raises `ConfigurationError` for the default channel too."""
    name = channel_name(text)
    if name == DEFAULT_CHANNEL:
        raise ConfigurationError(
            f"{DEFAULT_CHANNEL} is Salesforce's own channel, which always exists: name a custom one, such as "
            "Erp__chn"
        )
    return name


def member_name(channel: str, selected: str) -> str:
    """Return the full name of a member: no two underscores stand together in it."""
    return f"{channel}_{selected}".replace("__", "_")
