"""Checks of protect rules against other keys: channels, the hash key, and the fields that order events."""

import difflib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from streamer.channel_paths import ChannelKind
from streamer.configuration.document import Document, Keys
from streamer.configuration.draft import Draft
from streamer.configuration.event_types import Carried
from streamer.later import Later
from streamer.settings import ChannelSettings, How, ProtectRule, UnreadableBytes

if TYPE_CHECKING:
    from streamer.protection import rules
else:
    rules = Later("streamer.protection.rules")

_ANY_RUN = "*"
_LOSING = {How.DROP: "drops", How.MASK: "masks"}
_PLATFORM_EVENT = "__e"
_A_KEY = "protection.key, such as {file: /run/secrets/streamer/protection-key}"
_CHANGE_EVENT = "ChangeEvent"

# Common objects. A name that is similar to one of them is probably a mistake.
_COMMON = (
    "Account",
    "Asset",
    "Campaign",
    "CampaignMember",
    "Case",
    "Contact",
    "Contract",
    "Event",
    "Individual",
    "Lead",
    "Opportunity",
    "OpportunityLineItem",
    "Order",
    "OrderItem",
    "Pricebook2",
    "PricebookEntry",
    "Product2",
    "Quote",
    "Task",
    "User",
)
_MUCH_ALIKE = 0.85


def can_concern(rule: ProtectRule, path: str) -> bool:
    """Return true if `rule` can match an event of the channel at `path`."""
    return _is_carried(rule, Carried.by(path))


def protection_mistakes(draft: Draft, document: Document) -> Iterator[str]:
    """Yield a message for each conflict between a rule and another key."""
    settings = draft.settings
    if not (draft.is_sound("protect") and draft.is_sound("protection")):
        return
    if settings.protection.key is None:
        if settings.protection.unreadable is UnreadableBytes.ENCRYPT:
            yield document.mistake(
                ("protection", "unreadable"), f"found 'encrypt', which needs a key: set {_A_KEY}"
            )
        for position, rule in enumerate(settings.protect):
            if rule.how is How.HASH:
                yield document.mistake(
                    ("protect", position, "how"),
                    f"found 'hash', which needs a key: set {_A_KEY}",
                )
    # If all channels have mistakes, the draft holds a placeholder channel.
    channels = settings.channels if draft.channels else ()
    for position, channel in zip(draft.channels, channels, strict=True):
        if lost := _lost_order(channel, settings.protect):
            yield document.mistake(
                ("channels", position, "key"),
                f"found {document.shown(('channels', position, 'key'))}, which a rule in protect {lost}, "
                "so events lose their order: use how: hash for this field, or choose another key",
            )


def protection_warnings(draft: Draft, document: Document) -> Iterator[str]:
    """Yield a message for each rule that seems to protect no field."""
    if not all(draft.is_sound(key) for key in ("protect", "channels", "outbound")):
        return
    carried = [Carried.by(path) for path in draft.settings.paths]
    for position, rule in enumerate(draft.settings.protect):
        key = "entity" if rule.on is None else "on"
        for index, pattern in enumerate((rule.entity if rule.on is None else rule.on) or ()):
            place: Keys = ("protect", position, key)
            place = (*place, index) if isinstance(document.at(place), list) else place
            found = document.shown(place)
            alone = rule.model_copy(update={key: (pattern,)})
            hint = _meant(pattern, carried) if key == "entity" else ""
            meant = f"; did you mean {hint}?" if hint else ""
            if not any(_is_carried(alone, each) for each in carried):
                sentence = f"found {found}, which no channel carries, so the rule protects nothing{meant}"
                yield document.mistake(place, sentence)
            elif hint:
                yield document.mistake(
                    place, f"found {found}, which is not the name of a common object{meant}"
                )


def _is_carried(rule: ProtectRule, carried: Carried) -> bool:
    if rule.on is not None:
        lowered = replace(carried, name=carried.name and carried.name.lower())
        return any(lowered.can_match(pattern.lower()) for pattern in rule.on)
    if carried.name is not None:
        return rules.is_about_entity(rule, carried.name)
    return any(_can_be(pattern, carried.kind) for pattern in rule.entity or ())


def _can_be(pattern: str, kind: str) -> bool:
    """Return true if `pattern` can match the name of an event of this `kind`."""
    if _ANY_RUN in pattern or kind == "event":
        return True
    return not pattern.lower().endswith(_PLATFORM_EVENT)


def _meant(pattern: str, carried: Sequence[Carried]) -> str:
    """Return the name that the user probably meant by `pattern`, or an empty text."""
    if _ANY_RUN in pattern:
        return ""
    names = {each.name for each in carried if each.name is not None}
    if any(each.kind == "cdc" and each.name is None for each in carried):
        names.update(_COMMON)
    if pattern.lower() in {name.lower() for name in names}:
        return ""
    stem = pattern.removesuffix(_CHANGE_EVENT)
    meant = f"{stem}c" if stem.endswith("__") else stem
    close = difflib.get_close_matches(meant, names, n=1, cutoff=_MUCH_ALIKE)
    return close[0] if close else meant if meant != pattern else ""


def _lost_order(channel: ChannelSettings, protect: Sequence[ProtectRule]) -> str:
    """Return the verb for a rule that destroys the order of a channel's events, or an empty text."""
    if channel.key is None or not ChannelKind.of(channel.path).is_keyed:
        return ""
    has_one_type = Carried.by(channel.path).name is not None
    for rule in protect:
        if can_concern(rule, channel.path) and (
            rules.names_field(rule, channel.key) or "payload" in rule.data
        ):
            if rule.how in _LOSING:
                return _LOSING[rule.how]
            if has_one_type:
                return ""
    return ""
