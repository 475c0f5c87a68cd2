"""Enrichment: look-ups from settings, and what the subscribers of a process share to make them."""

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial

from streamer.clock import Clock
from streamer.configuration import Keys
from streamer.configuration.event_types import Carried
from streamer.dispatch.attempt.enrichment import LOOKUPS, Enrichment, EnrichmentSource, Lookup
from streamer.dispatch.attempt.functions import Functions
from streamer.dispatch.attempt.names import WHOLE, names_read
from streamer.dispatch.attempt.route import EVENT_NAMES, Mistake, compile_projection
from streamer.dispatch.lookups.fields import FieldNames
from streamer.dispatch.lookups.reading import LookupObserver
from streamer.dispatch.lookups.records import LookupLimits, RecordLookups
from streamer.events import Event
from streamer.salesforce.auth.logins import Logins
from streamer.salesforce.records import RestRecords
from streamer.salesforce.rest import Rest
from streamer.settings import LookupSettings, LookupsSettings, OrgSettings, SubscriberSettings

OWN_RECORD = "record"
"""Name of the look-up that reads the event's own record unless it names another."""

_TAKEN = frozenset({*EVENT_NAMES, LOOKUPS, "receipts"})
_OF_RECORDS = (Carried(kind="cdc", name=None), Carried(kind="outbound", name=None))


def compiled_lookups(
    enrich: Mapping[str, LookupSettings], mistake: Mistake, functions: Functions, more: tuple[str, ...]
) -> Iterator[Lookup]:
    """Yield the look-ups, compiled; raises what `mistake` makes of the first that is wrong.

    Their expressions see `more` names beside those of every event.
    """
    above: list[str] = []
    for name, each in enrich.items():
        keys: Keys = ("enrich", name, "id")
        needs = _read_by(each.id)
        yield Lookup(
            name=name,
            fields=FieldNames.of(*each.fields),
            sobject=each.sobject,
            record_id=None
            if each.id is None
            else compile_projection(each.id, keys, mistake=mistake, more=more, functions=functions),
            needs=frozenset(above if WHOLE in needs else needs.intersection(above)),
        )
        above.append(name)


def lookup_mistakes(
    settings: SubscriberSettings, is_sound: Callable[[Keys], bool], mistake: Mistake
) -> Iterator[str]:
    """Yield a message for each mistake between the sound keys of a subscriber's look-ups."""
    below = set(settings.enrich)
    for name, each in settings.enrich.items():
        keys: Keys = ("enrich", name)
        if not is_sound(keys):
            below.discard(name)
            continue
        for where, sentence, detail in _mistakes(name, each, settings, below):
            yield str(mistake((*keys, *where), sentence, detail))
        below.discard(name)


def _mistakes(
    name: str, lookup: LookupSettings, settings: SubscriberSettings, below: set[str]
) -> Iterator[tuple[Keys, str, str]]:
    if name in _TAKEN:
        yield (), "expressions see something else under this name", f"{name}; choose another one"
    if name != OWN_RECORD or lookup.sobject or lookup.id:
        for key, example in (("sobject", "Account"), ("id", "data.fields.AccountId")):
            if getattr(lookup, key) is None:
                detail = f"for example {example}; only {OWN_RECORD} goes without sobject and id"
                yield (key,), "is missing", detail
    elif settings.on and not any(kind.can_match(each) for each in settings.on for kind in _OF_RECORDS):
        yield (), "the events of on name no record", "set sobject and id"
    if late := sorted(_read_by(lookup.id) & (below - _TAKEN)):
        detail = f"{late[0]}; put the look-up that reads it below that one"
        yield ("id",), "this look-up has not been made yet", detail


def _read_by(expression: str | None) -> frozenset[str]:
    try:
        return names_read(expression) if expression is not None else frozenset()
    except ValueError:
        # What does not compile is a mistake that is told already.
        return frozenset()


@dataclass(slots=True, kw_only=True)
class _Shared:
    """Look-ups of one org in use, and the number of their users."""

    lookups: RecordLookups
    resources: AsyncExitStack
    users: int = 0


class OrgLookups:
    """Lends the look-ups of orgs, so that all subscribers of a process share calls and cache."""

    def __init__(
        self, logins: Logins, clock: Clock, settings: LookupsSettings, observer: LookupObserver
    ) -> None:
        self._logins = logins
        self._clock = clock
        self._limits = LookupLimits(**settings.model_dump())
        self._observer = observer
        self._shared: dict[OrgSettings, _Shared] = {}

    def changed(self, event: Event) -> None:
        """Read the record of `event` again before its next look-up."""
        for shared in self._shared.values():
            shared.lookups.changed(event)

    def enrichment(self, source: EnrichmentSource, org: OrgSettings) -> Enrichment:
        """Return what makes the look-ups of `source` in `org`."""
        return Enrichment(
            source=source,
            open=partial(self.opened, org),
            clock=self._clock,
            timeout_s=self._limits.timeout_s,
        )

    @asynccontextmanager
    async def opened(self, org: OrgSettings) -> AsyncIterator[RecordLookups]:
        """Lend the look-ups of `org`; raises `ConfigurationError` when a secret would travel in the clear."""
        shared = self._shared.get(org)
        if shared is None:
            shared = await self._made(org)
        shared.users += 1
        try:
            yield shared.lookups
        finally:
            shared.users -= 1
            if not shared.users:
                del self._shared[org]
                await shared.resources.aclose()

    async def _made(self, org: OrgSettings) -> _Shared:
        async with AsyncExitStack() as stack:
            tokens, http = await stack.enter_async_context(self._logins.opened(org))
            records = RestRecords(Rest(http, tokens, self._clock, api_version=org.api_version))
            lookups = RecordLookups(records, self._clock, self._limits, self._observer)
            await stack.enter_async_context(lookups.running())
            shared = self._shared[org] = _Shared(lookups=lookups, resources=stack.pop_all())
        return shared
