"""Preview of a redrive: which dead letters it would deliver, and which are superseded."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import dataclass, field

from streamer.admin.context import AdminContext
from streamer.admin.errors import ApiError
from streamer.controls import MAX_SKIPPED_CHARACTERS, LetterFilter, can_be_ingested, can_be_redriven
from streamer.dispatch.redrive.placed_letters import LetterPlaces, PlacedLetter, pages
from streamer.dispatch.redrive.superseded import superseded
from streamer.events import JsonObject, LetterHead, SubscriberName

_REMEDY = "narrow the filter, such as by time, or include the superseded ones."


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

    def add(self, letter: LetterHead, *, is_deliverable: bool) -> None:
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
    `LogUnavailable`.
    """
    found: dict[SubscriberName | None, RedrivePreview] = defaultdict(RedrivePreview)
    compared: dict[SubscriberName, list[PlacedLetter]] = defaultdict(list)
    aside: dict[SubscriberName, LetterPlaces] = defaultdict(LetterPlaces)
    async with aclosing(context.log.controls.letter_cursor().heads()) as heads:
        async for head in heads:
            if find_superseded and head.subscriber is not None:
                aside[head.subscriber].add(head)
            if meant.admits(head) and _counted(context, meant, head, found) and find_superseded:
                letter = PlacedLetter.of(head)
                compared[letter.subscriber].append(letter)
    for name, letters in compared.items():
        found[name].superseded = await _superseded(context, name, letters, aside[name])
    return found


def _counted(
    context: AdminContext,
    meant: LetterFilter,
    head: LetterHead,
    found: Mapping[SubscriberName | None, RedrivePreview],
) -> bool:
    """Count a letter, and return true if its subscriber can get it again."""
    settings = context.daemon.plan.settings
    if meant.channel is not None:
        is_read = meant.channel in settings.paths
        found[None].add(head, is_deliverable=is_read and can_be_ingested(head))
        return False
    is_deliverable = head.subscriber in settings.subscribers and can_be_redriven(head)
    found[head.subscriber].add(head, is_deliverable=is_deliverable)
    return is_deliverable


async def _superseded(
    context: AdminContext, name: SubscriberName, letters: list[PlacedLetter], aside: LetterPlaces
) -> frozenset[str]:
    plan = context.daemon.plan
    subscription, admits = plan.subscription(name), plan.admits(name)
    found = [
        await superseded(page, context.log, subscription, admits, aside=aside) for page in pages(letters)
    ]
    return frozenset().union(*found)
