"""Reader of a channel's messages: events, and dead letters of what can't be read or protected."""

from collections.abc import Sequence
from dataclasses import dataclass

from streamer.events import Batch, Channel, Checkpoint, DeadLetter, Event, Unreadable
from streamer.ingest.positions.checkpoints import without_appended
from streamer.ingest.reading.large_texts import LargeTexts
from streamer.ingest.reading.protection import ChannelProtection
from streamer.ingest.reading.quarantine import Quarantine
from streamer.normalise import Normaliser


@dataclass(slots=True, kw_only=True)
class MessageReader:
    """Reads the messages of one channel, in two steps: into events, and into what of them is stored.

    Without `large_texts`, large texts that came as diffs stay diffs. With
    `protection`, the log and the observer get what `stored` returns, and no
    value that is protected. Both steps raise `MostlyUnreadable`.
    """

    channel: Channel
    normalise: Normaliser
    quarantine: Quarantine
    large_texts: LargeTexts | None = None
    protection: ChannelProtection | None = None

    async def read(self, batch: Batch, checkpoint: Checkpoint | None) -> Sequence[Event | DeadLetter]:
        """Return the events of `batch` that the log does not hold by `checkpoint`, with whole texts."""
        read = self._read(batch)
        if checkpoint is not None and checkpoint.appended:
            read = without_appended(read, checkpoint)
        return read if self.large_texts is None else await self.large_texts.completed(read)

    def stored(
        self, read: Sequence[Event | DeadLetter], *, is_judged: bool = True
    ) -> Sequence[Event | DeadLetter]:
        """Return `read` as protection lets it be stored; what can't be protected is set aside.

        Without `is_judged`, the quarantine does not count what is set aside.
        """
        if not read or self.protection is None or not self.protection.has_rules:
            return read
        protected = self.protection.protected(read)
        if protected is read:
            return read
        # The quarantine counts messages, and a message can be several events.
        unreadable = {item.replay_id for item in protected if isinstance(item, Unreadable)}
        if is_judged:
            self.quarantine.judge(read=0, unreadable=len(unreadable))
        return [self._quarantined(each) if isinstance(each, Unreadable) else each for each in protected]

    def _read(self, batch: Batch) -> Sequence[Event | DeadLetter]:
        # The position of an unreadable piece among the messages is unknown; put
        # first, it can't make the checkpoint pass a message.
        read = [*batch.unreadable, *self.normalise(batch.messages)]
        events = [item for item in read if type(item) is Event]
        unreadable = len(read) - len(events)
        self.quarantine.judge(read=len(batch.messages) + len(batch.unreadable), unreadable=unreadable)
        if not unreadable:
            return events
        torn = len(batch.unreadable)
        return [
            self._quarantined(item, torn=place < torn) if isinstance(item, Unreadable) else item
            for place, item in enumerate(read)
        ]

    def _quarantined(self, piece: Unreadable, *, torn: bool = False) -> DeadLetter:
        secret = self.protection.secret(piece, torn=torn) if self.protection is not None else None
        return self.quarantine.unreadable(piece, self.channel, secret)
