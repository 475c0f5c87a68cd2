"""Span of time in which an org and a log can be compared."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from streamer.channel_paths import ChannelKind, change_channel, changed_entity
from streamer.errors import ConfigurationError
from streamer.events import Checkpoint, OrgId
from streamer.normalise.times import as_event_time

TRANSACTION_S = 1_200.0
"""Longest time that is taken to lie between a record's stamp and the commit that makes its event."""
DELIVERY_S = 300.0
"""Longest time that is taken to lie between a commit and the appending of its event."""

_ALL_CHANGES = "/data/ChangeEvents"


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparedWindow:
    """What is compared: changes from `since` to `until` (epoch seconds); `notes` say what is left out."""

    since: float
    until: float
    notes: tuple[str, ...] = ()

    def cut(self, begins_at: float | None) -> "ComparedWindow":
        """Return the window in a log that begins at that time."""
        if begins_at is None or begins_at <= self.since:
            return self
        note = f"the log holds no earlier events than those of {shown(begins_at)}: compared from there"
        return window(begins_at, self.until, (*self.notes, note))


def window_of(since: float, until: float | None, checkpoint: Checkpoint, now: float) -> ComparedWindow:
    """Return the window that ends at `until`, and before all changes whose events can be under way.

    A record's stamp is older than the commit of its transaction, by up to
    `TRANSACTION_S`. The log is complete up to the `verified_at` of the channel's
    checkpoint, and not beyond `DELIVERY_S` ago. Raises `ConfigurationError` when
    nothing is left to compare.
    """
    complete = min(checkpoint.verified_at, now - DELIVERY_S)
    last = complete - TRANSACTION_S
    notes: tuple[str, ...] = ()
    if until is None or until > last:
        is_behind = checkpoint.verified_at < now - 2 * DELIVERY_S
        if is_behind:
            read = shown(checkpoint.verified_at)
            notes = (f"the channel was read up to {read} and no further: check that its daemon runs",)
        if until is not None:
            notes = (*notes, f"events of changes after {shown(last)} can be under way: compared up to there")
        until = last
    return window(since, until, notes)


def window(since: float, until: float, notes: tuple[str, ...]) -> ComparedWindow:
    """Return a window; raises `ConfigurationError` for an empty one."""
    if since >= until:
        said = "".join(f" ({each})" for each in notes)
        raise ConfigurationError(
            f"nothing can be compared from {shown(since)} to {shown(until)}{said}: choose an earlier "
            f"--since; a change is compared once it is {(TRANSACTION_S + DELIVERY_S) / 60:g} minutes old"
        )
    return ComparedWindow(since=since, until=until, notes=notes)


def checkpoint_for(
    entity: str, path: str | None, org: OrgId, checkpoints: Sequence[Checkpoint]
) -> Checkpoint:
    """Return the checkpoint of the channel that carries `entity`: the one at `path`, or the entity's own.

    Without either, it is the channel of all changes. Raises `ConfigurationError`
    when the log has no such channel.
    """
    known = {
        each.channel.path: each
        for each in checkpoints
        if each.channel.org == org and ChannelKind.of(each.channel.path) is ChannelKind.CHANGES
    }
    wanted = [path] if path is not None else [change_channel(entity), _ALL_CHANGES]
    for each in wanted:
        carried = changed_entity(each)
        if each in known and carried in {None, entity}:
            return known[each]
    listed = ", ".join(sorted(known)) or "none"
    raise ConfigurationError(
        f"the log has no channel {' and no channel '.join(wanted)} with the changes of {entity}: name one "
        f"with --channel; channels of this org with changes: {listed}"
    )


def shown(epoch_s: float) -> str:
    """Return a time as events have it."""
    return as_event_time(datetime.fromtimestamp(epoch_s, UTC))
