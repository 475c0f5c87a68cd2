"""Checkpoint rules: the next checkpoint of a channel after a read."""

from collections.abc import Sequence
from datetime import datetime

from streamer.clock import CLOCKS_DIFFER_S
from streamer.events import Batch, Checkpoint, DeadLetter, Event, EventId, ReplayId
from streamer.replay_ids import is_of_cometd

# A header of a proxy, for example, can name any time.
_MOST_BEHIND_S = 86_400.0
# While an id marks the place, an old date would only make the position seem old.
_MOST_BEHIND_AN_ID_S = 900.0


def advanced(checkpoint: Checkpoint | None, read: Sequence[Event | DeadLetter], batch: Batch) -> Checkpoint:
    """Return the checkpoint that follows `checkpoint` once `read`, in Salesforce's order, is appended.

    The last replay id stays open, because more events can carry it (split
    events share one); all ids before it are complete. No event is known to be
    missing up to the last event's commit.
    """
    former = checkpoint or Checkpoint(
        channel=batch.channel, replay_id=None, verified_at=0.0, positioned_at=batch.read_at
    )
    placed = [item for item in read[-1:] if item.replay_id] or [item for item in read if item.replay_id]
    if not placed:
        return former

    last = placed[-1].replay_id
    ids: list[EventId] = []
    before = None
    for item in reversed(read):
        if item.replay_id == last:
            ids.append(EventId(item.id))
        elif item.replay_id is not None:
            before = item.replay_id
            break
    ids.reverse()
    replay_id = before or former.open_replay_id or former.replay_id
    if last == former.open_replay_id:
        # It stays open, also where no id before it is known.
        replay_id, ids = former.replay_id, [*former.appended, *ids]
    elif before is None and _is_of_other_transport(last, former.open_replay_id):
        # It can be the open position under another name: its events stay known by their ids.
        ids = [*former.appended, *ids]
    committed_at = _committed_at(read)
    return Checkpoint(
        channel=batch.channel,
        replay_id=replay_id,
        verified_at=_verified_at(former.verified_at, committed_at, by_time=replay_id is None),
        appended=tuple(ids),
        open_replay_id=last,
        positioned_at=committed_at or former.positioned_at,
        skips_after=former.skips_after if replay_id is None else None,
    )


def confirmed(checkpoint: Checkpoint | None, batch: Batch) -> Checkpoint:
    """Return the checkpoint that follows `checkpoint` after an answer without messages.

    It completes the last replay id: split events are stored together, so none
    of them can still come. No event is known to be missing up to now. A
    position that came with the answer lies at or beyond the last event, which the
    other transport is still searched for.
    """
    replay_id, skips_after = batch.position, None
    positioned_at: float | None = batch.read_at
    confirmed_at = batch.read_at
    if replay_id is None:
        known = checkpoint or Checkpoint(channel=batch.channel, replay_id=None, verified_at=0.0)
        replay_id, positioned_at = known.open_replay_id or known.replay_id, known.positioned_at
        skips_after = known.skips_after if replay_id is None else None
    behind_s = 0.0 if batch.org_time is None else batch.read_at - batch.org_time
    if _is_dated_by_org(behind_s, by_time=replay_id is None):
        confirmed_at -= behind_s
    return Checkpoint(
        channel=batch.channel,
        replay_id=replay_id,
        verified_at=confirmed_at,
        appended=checkpoint.appended if checkpoint is not None else (),
        positioned_at=positioned_at,
        skips_after=skips_after,
    )


def verified_at(checkpoint: Checkpoint | None) -> float | None:
    """Return the last moment at which no event was known to be missing, `None` where there is none."""
    # A checkpoint that has seen nothing but unreadable messages knows no time.
    return (checkpoint.verified_at if checkpoint else 0.0) or None


def complete_until(checkpoint: Checkpoint | None) -> float | None:
    """Return the last moment up to which the log is complete, `None` without a checkpoint.

    A channel that has seen nothing but unreadable messages can lack all that
    Salesforce retained when the first of them came.
    """
    if checkpoint is None or checkpoint.verified_at or checkpoint.positioned_at is None:
        return verified_at(checkpoint)
    return checkpoint.positioned_at - checkpoint.channel.retention_s


def without_appended(read: Sequence[Event | DeadLetter], checkpoint: Checkpoint) -> list[Event | DeadLetter]:
    """Return `read` without the events that the log already holds according to `checkpoint`."""
    # Only messages at the checkpoint's position are ever read again, and
    # a publisher's duplicate elsewhere is Salesforce's event, not our repeat.
    seen = frozenset(checkpoint.appended)
    position = checkpoint.open_replay_id
    return [item for item in read if item.replay_id != position or item.id not in seen]


def _is_dated_by_org(behind_s: float, *, by_time: bool) -> bool:
    """Return whether Salesforce's clock, so far behind ours, dates a quiet answer.

    Events are committed by that clock. By ours, the next ones can seem older than the
    answer, and reading would leave them out where it resumes by time. With an id, that
    is on the other transport alone, and the usual margin covers a minute.
    """
    if by_time:
        return 0.0 < behind_s < _MOST_BEHIND_S
    return CLOCKS_DIFFER_S < behind_s < _MOST_BEHIND_AN_ID_S


def _is_of_other_transport(replay_id: ReplayId | None, other: ReplayId | None) -> bool:
    return replay_id is not None and other is not None and is_of_cometd(replay_id) != is_of_cometd(other)


def _verified_at(former: float, committed: float, *, by_time: bool) -> float:
    """Return the later of two times; `by_time` says that reading would resume by this one, for want of an id.

    It must be by Salesforce's clock then. Our clock dates a quiet answer: if it is
    ahead, events that were committed after the first one would lie before it.
    """
    if not by_time:
        return max(former, committed)
    return committed or max(0.0, former - CLOCKS_DIFFER_S)


def _committed_at(read: Sequence[Event | DeadLetter]) -> float:
    last = next((item for item in reversed(read) if type(item) is Event), None)
    return datetime.fromisoformat(last.time).timestamp() if last else 0.0
