"""Protection of what ingest stores: the rules in effect, and what they leave of events and messages."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from streamer.channel_paths import ChannelKind
from streamer.configuration.protection import can_concern
from streamer.events import Channel, DeadLetter, Event, Unreadable
from streamer.protection import Fixed, NotProtected, ProtectedEvents, Rules
from streamer.raw_json import raw_json
from streamer.settings import ProtectionSettings, ProtectRule, UnreadableBytes

_KEYED = frozenset({ChannelKind.EVENTS, ChannelKind.GENERIC})


@dataclass(slots=True)
class Protection:
    """Rules in effect, of all channels of a process; others take their place while it runs."""

    rules: Sequence[ProtectRule] = ()
    settings: ProtectionSettings = field(default_factory=ProtectionSettings)
    compiled: Rules | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        """Compile the rules."""
        self.apply(self.rules, self.settings)

    def apply(self, rules: Sequence[ProtectRule], settings: ProtectionSettings) -> None:
        """Protect the next batch of each channel by `rules`; without any, nothing is looked at."""
        self.rules, self.settings = rules, settings
        self.compiled = Rules(rules, settings) if rules else None

    @property
    def keeps_unreadable(self) -> bool:
        """True when the bytes of unreadable messages are kept in any case."""
        return not self.rules or self.settings.unreadable is UnreadableBytes.KEEP


@dataclass(slots=True, kw_only=True)
class ChannelProtection:
    """Protection of one channel, of which `key` names the field by which events are ordered, if any."""

    protection: Protection
    channel: Channel
    key: str | None = None

    @property
    def has_rules(self) -> bool:
        """True while there are rules, of this channel or of others."""
        return self.protection.compiled is not None

    def protected(self, read: Sequence[Event | DeadLetter]) -> list[Event | DeadLetter | Unreadable]:
        """Return `read`, in its order, without what the rules protect.

        An event that can't be protected is `Unreadable`.
        """
        rules = self.protection.compiled
        events = [item for item in read if type(item) is Event]
        # By their types, and not by their channel: an event that is not of the channel is still what it is.
        if rules is None or not any(map(rules.of, {event.type for event in events})):
            return list(read)
        key = self.key if ChannelKind.of(self.channel.path) in _KEYED else None
        protected = ProtectedEvents(rules, key=key).of(events)
        found: list[Event | DeadLetter | Unreadable] = []
        for item in read:
            if type(item) is not Event:
                found.append(item)
                continue
            made = next(protected)
            found.append(_unreadable(item, made) if isinstance(made, NotProtected) else made)
        return found

    def hides(self, event_type: str, name: str) -> bool:
        """Return whether a field of a type of event is not to be seen as it is."""
        rules = self.protection.compiled
        of_type = rules.of(event_type) if rules is not None else None
        return of_type is not None and of_type.of(name) is not Fixed.KEEP

    def withholds(self, *, torn: bool) -> bool:
        """Return whether the bytes of an unreadable message must not be kept.

        A `torn` piece of an answer can belong to another channel than it seems.
        """
        if self.protection.keeps_unreadable:
            return False
        return torn or any(can_concern(rule, self.channel.path) for rule in self.protection.rules)

    def digest(self, piece: Unreadable) -> str:
        """Return a digest by which a piece whose bytes are withheld is known again.

        Without a key it tells only the kind of the piece and its size: other
        digests would tell a value to whoever tries all that it can be.
        """
        rules = self.protection.compiled
        keyed = rules.digest(piece.raw) if rules is not None else None
        return keyed or f"{len(piece.raw)}-bytes"


def _unreadable(event: Event, error: NotProtected) -> Unreadable:
    return Unreadable(
        raw=raw_json(event.data),
        error=f"Not protected: {error}",
        summary=f"Not protected: {error}",
        replay_id=event.replay_id,
    )
