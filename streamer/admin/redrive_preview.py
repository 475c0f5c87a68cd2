"""Preview of a redrive: which dead letters it would deliver, and which are superseded."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import dataclass, field

from streamer.admin.context import AdminContext
from streamer.admin.errors import ApiError
from streamer.controls import MAX_SKIPPED_CHARACTERS, LetterFilter, can_be_ingested, can_be_redriven
from streamer.dispatch.redrive.compared_letters import ComparedLetters, TooManyLetters
from streamer.dispatch.redrive.superseded import superseded
from streamer.events import DeadLetter, JsonObject, SubscriberName

_REMEDY = "narrow the filter, such as by time, or include the superseded ones."
_FEWER = "choose fewer, by subscriber, key, time or id, or include the superseded ones."


@dataclass(slots=True, kw_only=True)
class RedrivePreview:
    """Counts of one subscriber's matching dead letters; `superseded` are the ids of the superseded ones.

    `deliverable` counts the letters that a subscriber has read from the log,
    if the subscriber is still configured. Of a channel's letters, it counts
    those that ingest can read again, if the channel is still configured.
    """

    matching: int = 0
    deliverable: int = 0
    superseded: frozenset[str] = frozenset()
    reasons: Counter[str] = field(default_factory=Counter)

    def add(self, letter: DeadLetter, *, is_deliverable: bool) -> None:
        """Count a matching `letter`."""
        self.matching += 1
        self.deliverable += is_deliverable
        self.reasons[letter.reason] += 1

    def as_json(self) -> JsonObject:
        """Return the counts."""
        return {
            "matching": self.matching,
            "deliverable": self.deliverable,
            "superseded": len(self.superseded),
            "by_reason": dict(self.reasons),
        }

    def skipped(self) -> frozenset[str]:
        """Return the superseded ids, for an order to skip. Raises `ApiError` when they are too many."""
        if sum(map(len, self.superseded)) > MAX_SKIPPED_CHARACTERS:
            raise ApiError(
                409, f"{len(self.superseded)} superseded letters are too many for one order: {_REMEDY}"
            )
        return self.superseded


async def redrive_previews(
    context: AdminContext, meant: LetterFilter, *, find_superseded: bool
) -> Mapping[SubscriberName | None, RedrivePreview]:
    """Return a preview for each subscriber; letters without a subscriber are under `None`.

    Superseded letters are searched for only with `find_superseded`. Raises
    `ApiError` when more letters than fit into memory must be compared, and
    `LogUnavailable`.
    """
    found: dict[SubscriberName | None, RedrivePreview] = defaultdict(RedrivePreview)
    compared = ComparedLetters()
    try:
        await _collect(context, meant, found, compared if find_superseded else None)
    except TooManyLetters as exc:
        raise ApiError(409, f"{exc}: {_FEWER}") from exc
    for name in compared.deliverable:
        found[name].superseded = await _superseded(context, name, compared)
    return found


async def _collect(
    context: AdminContext,
    meant: LetterFilter,
    found: Mapping[SubscriberName | None, RedrivePreview],
    compared: ComparedLetters | None,
) -> None:
    configured = context.daemon.plan.settings.subscribers
    async with aclosing(context.log.controls.dead_letters()) as letters:
        async for letter in letters:
            if not meant.admits(letter):
                continue
            if meant.channel is not None:
                is_read = meant.channel in context.daemon.plan.settings.paths
                found[None].add(letter, is_deliverable=is_read and can_be_ingested(letter))
                continue
            is_deliverable = letter.subscriber in configured and can_be_redriven(letter)
            found[letter.subscriber].add(letter, is_deliverable=is_deliverable)
            if compared is not None and is_deliverable:
                compared.add_deliverable(letter)
    if compared is not None and compared.deliverable:
        async with aclosing(context.log.controls.dead_letters()) as letters:
            async for letter in letters:
                compared.add_other(letter)


async def _superseded(
    context: AdminContext, name: SubscriberName, compared: ComparedLetters
) -> frozenset[str]:
    plan = context.daemon.plan
    subscription, admits = plan.subscription(name), plan.admits(name)
    # An event that is itself a dead letter never reached the target and supersedes nothing.
    return await superseded(
        compared.deliverable[name], context.log, subscription, admits, aside=compared.others[name]
    )
