"""Reader of a channel's batches: it turns messages into protected events and dead letters."""

import asyncio
import hashlib
import secrets
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from streamer.channel_paths import ChannelKind
from streamer.configuration.protection import can_concern
from streamer.errors import SalesforceUnavailable, UnreadableEvent
from streamer.events import (
    Batch,
    Channel,
    Checkpoint,
    DeadLetter,
    Event,
    EventId,
    Unreadable,
    replay_id_from_text,
    replay_id_to_text,
)
from streamer.exact_json import exact_value, raw_json
from streamer.ingest.positions.checkpoints import without_appended
from streamer.ingest.read_batch import ReadBatch
from streamer.ingest.reading.large_texts import LargeTexts
from streamer.ingest.reading.quarantine import Quarantine, SecretBytes
from streamer.normalise import Normaliser
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
from streamer.settings import ProtectionSettings, ProtectRule, UnreadableBytes

_TEXTS = ("id", "source", "type", "time", "key", "channel", "replay_id")


@dataclass(slots=True)
class Protection:
    """Protection rules for all channels of a process; they can be replaced while the process runs."""

    rules: Sequence[ProtectRule] = ()
    settings: ProtectionSettings = field(default_factory=ProtectionSettings)
    compiled: Rules | None = field(default=None, init=False)
    process_key: str = field(default_factory=lambda: secrets.token_hex(32), init=False, repr=False)

    def __post_init__(self) -> None:
        """Compile the initial rules."""
        self.apply(self.rules, self.settings)

    def apply(self, rules: Sequence[ProtectRule], settings: ProtectionSettings) -> None:
        """Use `rules` from the next batch of each channel on; without rules, events are not examined."""
        self.rules, self.settings = rules, settings
        self.compiled = Rules(rules, settings) if rules else None


@dataclass(slots=True, kw_only=True)
class ChannelProtection:
    """Protection of one channel; `key` names the field that orders its events, if any."""

    protection: Protection
    channel: Channel
    key: str | None = None

    @property
    def has_rules(self) -> bool:
        """True if there is a rule for any channel of the process."""
        return self.protection.compiled is not None

    def protected(self, events: Sequence[Event]) -> Sequence[Event | Unreadable]:
        """Return `events`, in their order, with protected values removed, masked or hashed.

        If no rule applies to any event, the result is `events` itself. An event
        that can't be protected becomes `Unreadable`.
        """
        rules = self.protection.compiled
        # The event's type, and not its channel, selects the rules, because an event can arrive on a wrong
        # channel.
        if rules is None or not any(map(rules.of, {event.type for event in events})):
            return events
        key = self.key if ChannelKind.of(self.channel.path).is_keyed else None
        return [
            _unreadable(event, made) if isinstance(made, NotProtected) else made
            for event, made in zip(events, ProtectedEvents(rules, key=key).of(events), strict=True)
        ]

    def hides(self, event_type: str, name: str) -> bool:
        """Return whether the rules protect this field of this event type."""
        rules = self.protection.compiled
        of_type = rules.of(event_type) if rules is not None else None
        return of_type is not None and of_type.of(name) is not FixedTreatment.KEEP

    def secret(self, piece: Unreadable, *, torn: bool) -> SecretBytes | None:
        """Return the part of `piece` that a dead letter keeps, or `None` to keep `piece` as it is.

        A `torn` piece of an answer can belong to another channel than the channel
        that it names, so the rules of all channels apply.
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

        Raises `UnreadableEvent` if the key is missing or wrong.
        """
        if not letter.raw.startswith(SEALED):
            return letter.raw
        key = self.protection.settings.key
        if key is None:
            raise UnreadableEvent("the bytes of the dead letter are encrypted: set protection.key")
        try:
            return unsealed(letter.raw, key.get_secret_value())
        except WrongKey:
            raise UnreadableEvent(
                "the bytes of the dead letter are encrypted with another key: set protection.key to that key"
            ) from None

    def _digest_without_key(self, piece: Unreadable) -> str:
        """Return a digest of `piece` that reveals only its size.

        For an event, the digest comes from the event's id, which is not secret. For
        another message with a known position, the digest is the message's size. In
        both cases, every process that reads the message gets the same digest.

        Without a known position, the digest needs a key, because an attacker could
        find the value behind a plain digest by trying all possible values. Each
        process has its own key, so another process that reads the piece again makes
        a second dead letter.
        """
        if piece.event_id is not None:
            return hashlib.sha256(piece.event_id.encode("utf-8", "surrogatepass")).hexdigest()
        if piece.replay_id is not None:
            return f"{len(piece.raw)}-bytes"
        return keyed_digest(piece.raw, self.protection.process_key)


def unprotected_event(raw: bytes) -> Event | None:
    """Return the event in `raw`, the bytes of a dead letter, or `None`.

    Only an event that could not be protected is stored as such a letter.
    """
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


@dataclass(slots=True, kw_only=True)
class MessageReader:
    """Reads one channel's messages in two steps: `read` into events, then `stored` for the log.

    Without `large_texts`, texts that arrive as diffs stay diffs. With
    `protection`, the log and the observer receive the result of `stored`, which
    has no protected values. Both steps raise `MostlyUnreadable`.
    """

    channel: Channel
    normalise: Normaliser
    quarantine: Quarantine
    large_texts: LargeTexts | None = None
    protection: ChannelProtection | None = None

    async def read(self, batch: Batch, checkpoint: Checkpoint | None) -> ReadBatch:
        """Return the part of `batch` that, by `checkpoint`, is not in the log yet, with completed texts."""
        read = self._read(batch)
        if checkpoint is not None and checkpoint.appended:
            read = without_appended(read, checkpoint)
        if self.large_texts is None:
            return read
        return read.with_events(await self.large_texts.completed(read.events))

    def stored(self, read: ReadBatch, *, is_judged: bool = True) -> ReadBatch:
        """Return `read` in protected form; an event that can't be protected becomes a dead letter.

        Without `is_judged`, the quarantine does not count these dead letters.
        """
        if self.protection is None or not self.protection.has_rules:
            return read
        protected = self.protection.protected(read.events)
        if protected is read.events:
            return read
        # The quarantine counts messages, and one message can contain several events.
        unreadable = {item.replay_id for item in protected if isinstance(item, Unreadable)}
        if is_judged:
            self.quarantine.judge(read=0, unreadable=len(unreadable))
        return read.with_events(
            [self._quarantined(each) if isinstance(each, Unreadable) else each for each in protected]
        )

    def _read(self, batch: Batch) -> ReadBatch:
        # The position of an unreadable piece among the messages is unknown. At the
        # front, it can't move the checkpoint past a message.
        made = [*batch.unreadable, *self.normalise(batch.messages)]
        events = [item for item in made if type(item) is Event]
        unreadable = len(made) - len(events)
        self.quarantine.judge(read=len(batch.messages) + len(batch.unreadable), unreadable=unreadable)
        if not unreadable:
            return ReadBatch(events=events)
        torn = len(batch.unreadable)
        return ReadBatch.of(
            [
                self._quarantined(item, torn=place < torn) if isinstance(item, Unreadable) else item
                for place, item in enumerate(made)
            ]
        )

    def _quarantined(self, piece: Unreadable, *, torn: bool = False) -> DeadLetter:
        secret = self.protection.secret(piece, torn=torn) if self.protection is not None else None
        return self.quarantine.unreadable(piece, self.channel, secret)


class BatchReader:
    """Reads batches in its own task, one batch for each `ask`; the caller can work during the reading.

    Enter the reader before you ask, and leave it afterwards. Leaving the reader
    closes the source's iterator.
    """

    def __init__(self, batches: AsyncGenerator[Batch, None]) -> None:
        # Every batch passes through here; a future for each batch would be the largest cost.
        self._batches = batches
        self._asked = asyncio.Event()
        self._turn = asyncio.Event()
        self._batch: Batch | None = None
        self._error: Exception | None = None
        self._has_come = self._is_left = False

    async def __aenter__(self) -> Self:
        """Start the task, which reads nothing until `ask` is called."""
        self._task = asyncio.create_task(self._run(), name="batches")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the iterator in the task that has read from it."""
        self._is_left = True
        self._task.cancel()
        await asyncio.wait([self._task])

    @property
    def has_come(self) -> bool:
        """True if a call of `batch` returns without waiting."""
        return self._has_come

    def ask(self) -> None:
        """Ask for the next batch, which confirms the previous batch: see `streamer.ports.Source`."""
        self._has_come = False
        self._turn.clear()
        self._asked.set()

    def interrupt(self) -> None:
        """Make `turn` return although no batch has arrived."""
        self._turn.set()

    async def turn(self) -> None:
        """Return when a batch has arrived, or after `interrupt`."""
        await self._turn.wait()
        self._turn.clear()

    async def batch(self) -> Batch | None:
        """Return the requested batch, or `None` after the last batch. Raises the errors of the source."""
        while not self._has_come:
            await self.turn()
        if self._error is not None:
            raise self._error
        return self._batch

    async def _run(self) -> None:
        async with aclosing(self._batches) as batches:
            while True:
                await self._asked.wait()
                self._asked.clear()
                try:
                    self._batch = await anext(batches, None)
                except asyncio.CancelledError:
                    if not self._is_left:
                        # A part of the source was cancelled: report it, or the caller would wait for ever.
                        self._error = SalesforceUnavailable(
                            "a part of the transport was cancelled, so reading begins again"
                        )
                        self._come()
                    raise
                except Exception as error:  # noqa: BLE001 - it is raised by `batch`
                    self._error = error
                self._come()

    def _come(self) -> None:
        self._has_come = True
        self._turn.set()
