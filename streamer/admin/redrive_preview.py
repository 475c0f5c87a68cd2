"""Preview of a redrive: which dead letters it would deliver, and which are superseded."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import dataclass, field, replace

from streamer.admin.context import AdminContext
from streamer.admin.errors import ApiError
from streamer.admin.superseded import superseded
from streamer.controls import LetterFilter, can_be_redriven
from streamer.events import DeadLetter, JsonObject, SubscriberName
from streamer.ports import Subscription

_MAX_COMPARED = 50_000
_MAX_SKIPPED_CHARACTERS = 400_000
_REMEDY = "narrow the filter, such as by time, or include the superseded ones."


@dataclass(slots=True, kw_only=True)
class RedrivePreview:
    """Counts of one subscriber's matching dead letters; `superseded` are the ids of the superseded ones.

    `deliverable` counts the letters that a subscriber has read from the log,
    if the subscriber is still configured.
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
        if sum(map(len, self.superseded)) > _MAX_SKIPPED_CHARACTERS:
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
    compared, configured = _ComparedLetters(), context.daemon.plan.settings.subscribers
    async with aclosing(context.log.controls.dead_letters()) as letters:
        async for letter in letters:
            if not meant.admits(letter):
                continue
            is_deliverable = letter.subscriber in configured and can_be_redriven(letter)
            found[letter.subscriber].add(letter, is_deliverable=is_deliverable)
            if find_superseded and is_deliverable:
                compared.add_deliverable(letter)
    if compared.deliverable:
        async with aclosing(context.log.controls.dead_letters()) as letters:
            async for letter in letters:
                compared.add_other(letter)
    for name in compared.deliverable:
        found[name].superseded = await _superseded(context, name, compared)
    return found


class _ComparedLetters:
    """Letters of each subscriber, without their content: deliverable ones, and others of the same keys.

    A letter that has lost its event has no known key, and counts among the
    others.
    """

    def __init__(self) -> None:
        self.deliverable: dict[SubscriberName, list[DeadLetter]] = defaultdict(list)
        self.others: dict[SubscriberName, list[DeadLetter]] = defaultdict(list)
        self._keys: set[tuple[SubscriberName, str]] = set()
        self._ids: set[str] = set()
        self._held = 0

    def add_deliverable(self, letter: DeadLetter) -> None:
        """Add a letter that can be redriven."""
        assert letter.subscriber is not None  # noqa: S101 - a subscriber has read it
        assert letter.event is not None  # noqa: S101 - it is to be delivered
        self._keys.add((letter.subscriber, letter.event.key))
        self._ids.add(letter.id)
        self._keep(self.deliverable[letter.subscriber], letter)

    def add_other(self, letter: DeadLetter) -> None:
        """Add any other letter that can have the key of a deliverable one."""
        if letter.subscriber is None or letter.subscriber not in self.deliverable or letter.id in self._ids:
            return
        if letter.event is None or (letter.subscriber, letter.event.key) in self._keys:
            self._keep(self.others[letter.subscriber], letter)

    def _keep(self, letters: list[DeadLetter], letter: DeadLetter) -> None:
        self._held += 1
        if self._held > _MAX_COMPARED:
            raise ApiError(
                409,
                f"More than {_MAX_COMPARED} dead letters must be compared, which is too many: choose "
                "fewer, by subscriber, key, time or id, or include the superseded ones.",
            )
        letters.append(_without_content(letter))


async def _superseded(
    context: AdminContext, name: SubscriberName, compared: _ComparedLetters
) -> frozenset[str]:
    settings = context.subscriber_settings(name)
    subscription = Subscription(subscriber=name, patterns=settings.on, start=settings.start)
    admits = context.daemon.plan.routes[name].admits
    # An event that is itself a dead letter never reached the target and supersedes nothing.
    return await superseded(
        compared.deliverable[name], context.log, subscription, admits, aside=compared.others[name]
    )


def _without_content(letter: DeadLetter) -> DeadLetter:
    event = letter.event and replace(letter.event, data={})
    return replace(letter, event=event, raw=b"", error="", first_error="", hint="", answer="")
