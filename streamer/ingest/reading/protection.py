"""Protection of stored events and messages by the rules in effect."""

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field

from streamer.channel_paths import ChannelKind
from streamer.configuration.protection import can_concern
from streamer.errors import UnreadableEvent
from streamer.events import Channel, DeadLetter, Event, EventId, Unreadable
from streamer.exact_json import exact_value
from streamer.ingest.reading.quarantine import SecretBytes
from streamer.protection import (
    SEALED,
    FixedTreatment,
    NotProtected,
    ProtectedEvents,
    Rules,
    WrongKey,
    key_id_of,
    keyed_digest,
    sealed,
    unsealed,
)
from streamer.raw_json import raw_json
from streamer.replay_ids import replay_id_from_text, replay_id_to_text
from streamer.settings import ProtectionSettings, ProtectRule, UnreadableBytes

_TEXTS = ("id", "source", "type", "time", "key", "channel", "replay_id")


@dataclass(slots=True)
class Protection:
    """Rules in effect for all channels of a process; new rules can replace them while it runs."""

    rules: Sequence[ProtectRule] = ()
    settings: ProtectionSettings = field(default_factory=ProtectionSettings)
    compiled: Rules | None = field(default=None, init=False)
    process_key: str = field(default_factory=lambda: secrets.token_hex(32), init=False, repr=False)

    def __post_init__(self) -> None:
        """Compile the rules."""
        self.apply(self.rules, self.settings)

    def apply(self, rules: Sequence[ProtectRule], settings: ProtectionSettings) -> None:
        """Protect the next batch of each channel by `rules`; without rules, events pass unread."""
        self.rules, self.settings = rules, settings
        self.compiled = Rules(rules, settings) if rules else None


@dataclass(slots=True, kw_only=True)
class ChannelProtection:
    """Protection of one channel; `key` names the field by which its events are ordered, if any."""

    protection: Protection
    channel: Channel
    key: str | None = None

    @property
    def has_rules(self) -> bool:
        """True while there are rules for this channel or for others."""
        return self.protection.compiled is not None

    def protected(self, read: Sequence[Event | DeadLetter]) -> Sequence[Event | DeadLetter | Unreadable]:
        """Return `read`, in its order, with protected values removed, masked or hashed.

        It is `read` itself if no rule applies to any of its events. An event that
        can't be protected is `Unreadable`.
        """
        rules = self.protection.compiled
        # The event's type decides, not the channel: an event can reach a channel to which it does not belong.
        types = {item.type for item in read if type(item) is Event}
        if rules is None or not any(map(rules.of, types)):
            return read
        events = [item for item in read if type(item) is Event]
        key = self.key if ChannelKind.of(self.channel.path).is_keyed else None
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
        """Return whether the rules protect a field of this type of event."""
        rules = self.protection.compiled
        of_type = rules.of(event_type) if rules is not None else None
        return of_type is not None and of_type.of(name) is not FixedTreatment.KEEP

    def secret(self, piece: Unreadable, *, torn: bool) -> SecretBytes | None:
        """Return the part of `piece` to keep, or `None` to keep it as it is.

        A `torn` piece of an answer can belong to a channel that it does not name,
        so the rules of all channels apply.
        """
        rules, settings = self.protection.rules, self.protection.settings
        if settings.unreadable is UnreadableBytes.KEEP:
            return None
        if not (rules if torn else any(can_concern(rule, self.channel.path) for rule in rules)):
            return None
        key = settings.key.get_secret_value() if settings.key is not None else None
        if key is None:
            return SecretBytes(digest=self._digest_without_key(piece))
        is_encrypted = settings.unreadable is UnreadableBytes.ENCRYPT
        kept = sealed(piece.raw, key, key_id_of(settings)) if is_encrypted else b""
        return SecretBytes(digest=keyed_digest(piece.raw, key), kept=kept)

    def unsealed(self, letter: DeadLetter) -> bytes:
        """Return the raw bytes of `letter`, decrypted if they are encrypted.

        Raises `UnreadableEvent` without their key.
        """
        if not letter.raw.startswith(SEALED):
            return letter.raw
        key = self.protection.settings.key
        if key is None:
            raise UnreadableEvent("its bytes are encrypted, and there is no protection.key")
        try:
            return unsealed(letter.raw, key.get_secret_value())
        except WrongKey:
            raise UnreadableEvent("its bytes are encrypted with another protection.key") from None

    def _digest_without_key(self, piece: Unreadable) -> str:
        """Return a digest that distinguishes `piece` from others at its position and reveals only its size.

        An event's digest comes from its id, which is not a secret. The digest of a
        message at a known position comes from its size. Each process that reads
        them again gets the same digests. The digest of a piece at an unknown
        position needs a key, because an attacker could guess the value behind a
        plain digest by trying all possible ones. The key belongs to this process,
        so another process that reads the piece makes another dead letter.
        """
        if piece.event_id is not None:
            return hashlib.sha256(piece.event_id.encode("utf-8", "surrogatepass")).hexdigest()
        if piece.replay_id is not None:
            return f"{len(piece.raw)}-bytes"
        return keyed_digest(piece.raw, self.protection.process_key)


def unprotected_event(raw: bytes) -> Event | None:
    """Return the event that could not be protected from its letter's `raw`; `None` for other letters."""
    if not raw.startswith(b'{"event":'):
        return None
    try:
        fields = exact_value(raw)["event"]
        texts = {name: fields[name] for name in _TEXTS}
        subject, data = fields["subject"], fields["data"]
        replay_id = replay_id_from_text(texts.pop("replay_id"))
    except (LookupError, TypeError, ValueError, AttributeError):
        return None
    are_texts = all(type(each) is str for each in texts.values()) and isinstance(subject, str | None)
    if not (are_texts and isinstance(data, dict)):
        return None
    texts["id"] = EventId(texts["id"])
    return Event(**texts, subject=subject, replay_id=replay_id, data=data)


def _unreadable(event: Event, error: NotProtected) -> Unreadable:
    fields = {name: getattr(event, name) for name in (*_TEXTS, "subject", "data")}
    fields["replay_id"] = replay_id_to_text(event.replay_id)
    return Unreadable(
        raw=raw_json({"event": fields}),
        error=f"Not protected: {error}",
        summary=f"Not protected: {error}",
        replay_id=event.replay_id,
        event_id=event.id,
    )
