"""Subscribers' look-ups: compiled from settings, and shared per org and per service."""

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial

from streamer.clock import Clock
from streamer.configuration import Keys
from streamer.configuration.event_types import Carried
from streamer.dispatch.delivery.enrichment import LOOKUPS, Enrichment, EnrichmentSource, Lookup
from streamer.dispatch.delivery.route import EVENT_NAMES, Mistake, compile_projection
from streamer.dispatch.lookups.reading import FieldNames, LookupObserver
from streamer.dispatch.lookups.records import LookupLimits, RecordLookups
from streamer.events import Event
from streamer.expressions.checks import WHOLE, names_read
from streamer.expressions.functions import Functions
from streamer.ports import ServiceSource
from streamer.salesforce.auth.flows import Logins
from streamer.settings import LookupSettings, LookupsSettings, OrgSettings, SubscriberSettings

OWN_RECORD = "record"
"""Name of the look-up that reads the event's own record by default."""

_TAKEN = frozenset({*EVENT_NAMES, LOOKUPS, "receipts"})
_OF_RECORDS = (Carried(kind="cdc", name=None), Carried(kind="outbound", name=None))


def compiled_lookups(
    enrich: Mapping[str, LookupSettings], mistake: Mistake, functions: Functions, more: tuple[str, ...]
) -> Iterator[Lookup]:
    """Yield the compiled look-ups. Raises the error that `mistake` returns for the first mistake.

    The expressions see the names in `more` in addition to every event's names.
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
    """Yield a message for each conflict between valid keys in a subscriber's look-ups."""
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
        yield (
            (),
            "expressions already use this name for something else",
            f"{name}; choose another name for this look-up",
        )
    if lookup.http is not None:
        yield from _mistakes_of_service(lookup)
    elif name != OWN_RECORD or lookup.sobject or lookup.id:
        for key, example in (("sobject", "Account"), ("id", "data.fields.AccountId")):
            if getattr(lookup, key) is None:
                detail = (
                    f"write for example {example}; only the look-up {OWN_RECORD} works without sobject and id"
                )
                yield (key,), "is missing", detail
    elif settings.on and not any(kind.can_match(each) for each in settings.on for kind in _OF_RECORDS):
        yield (), "the event types in on have no record", "set sobject and id"
    if late := sorted(_read_by(lookup.id) & (below - _TAKEN)):
        detail = f"{late[0]}; move this look-up below {late[0]}"
        yield ("id",), "reads a look-up that runs later", detail


def _mistakes_of_service(lookup: LookupSettings) -> Iterator[tuple[Keys, str, str]]:
    if lookup.id is None:
        yield (
            ("id",),
            "is missing",
            "write for example data.fields.ERP_Id__c; a look-up with http has no default id",
        )
    if lookup.sobject is not None:
        yield ("sobject",), "has no effect with http", "set either http or sobject"
    known: dict[str, str] = {}
    for each in lookup.fields:
        if known.setdefault(each.lower(), each) != each:
            yield (
                ("fields",),
                "two names differ only in upper and lower case",
                f"{known[each.lower()]} and {each}",
            )


def _read_by(expression: str | None) -> frozenset[str]:
    try:
        return names_read(expression) if expression is not None else frozenset()
    except ValueError:
        # An expression that does not compile is reported as a mistake elsewhere.
        return frozenset()


RecordSource = OrgSettings | ServiceSource


@dataclass(slots=True, kw_only=True)
class _Shared:
    """Open look-ups of one org or service, with the number of users."""

    lookups: RecordLookups
    resources: AsyncExitStack
    users: int = 0


@dataclass(frozen=True, slots=True)
class _Held:
    entries: int
    size: int
    waits: bool


@dataclass(slots=True)
class _Observers:
    """Reports the total size of all sources' caches to one observer."""

    whole: LookupObserver
    held: dict[RecordSource, _Held] = field(default_factory=dict)

    def ended(self, source: RecordSource) -> None:
        """Forget the cache of `source`."""
        self.held.pop(source, None)
        self.told()

    def told(self) -> None:
        """Report the total size of all caches, and whether any look-ups wait."""
        held = self.held.values()
        self.whole.held(
            entries=sum(each.entries for each in held),
            size=sum(each.size for each in held),
            waits=any(each.waits for each in held),
        )


@dataclass(frozen=True, slots=True)
class _SourceObserver:
    """Observer of one source among several."""

    source: RecordSource
    observers: _Observers

    def looked_up(self, result: str) -> None:
        """Report a look-up that has ended."""
        self.observers.whole.looked_up(result)

    def asked(self, records: int, seconds: float, result: str) -> None:
        """Report a call for `records` that took `seconds`."""
        self.observers.whole.asked(records, seconds, result)

    def held(self, *, entries: int, size: int, waits: bool) -> None:
        """Record the size of this source's cache, and report the total of all sources."""
        self.observers.held[self.source] = _Held(entries, size, waits)
        self.observers.told()


class SharedLookups:
    """Opens the look-ups of orgs and services; all subscribers share the calls and caches of the look-ups."""

    def __init__(
        self, logins: Logins, clock: Clock, settings: LookupsSettings, observer: LookupObserver
    ) -> None:
        self._logins = logins
        self._clock = clock
        self._limits = LookupLimits(**settings.model_dump())
        self._observers = _Observers(observer)
        self._shared: dict[RecordSource, _Shared] = {}
        self.on_read: list[Callable[[Event], None]] = []
        """Callback for each event from the log; the next look-up then reads the event's record again."""

    def enrichment(self, source: EnrichmentSource, org: OrgSettings) -> Enrichment:
        """Return the enrichment by the look-ups of `source`. Look-ups without a service use `org`."""
        return Enrichment(
            source=source,
            open=partial(self._all_opened, org),
            clock=self._clock,
            timeout_s=self._limits.timeout_s,
        )

    @asynccontextmanager
    async def opened(self, source: RecordSource) -> AsyncIterator[RecordLookups]:
        """Yield the shared look-ups of `source`.

        Raises `ConfigurationError` for an unsafe address or certificate.
        """
        shared = self._shared.get(source)
        if shared is None:
            shared = await self._made(source)
        shared.users += 1
        try:
            yield shared.lookups
        finally:
            shared.users -= 1
            if not shared.users:
                del self._shared[source]
                self.on_read.remove(shared.lookups.changed)
                await shared.resources.aclose()
                self._observers.ended(source)

    @asynccontextmanager
    async def _all_opened(
        self, org: OrgSettings, source: EnrichmentSource
    ) -> AsyncIterator[Mapping[str, RecordLookups]]:
        async with AsyncExitStack() as stack:
            yield {
                each.name: await stack.enter_async_context(self.opened(each.service or org))
                for each in source.lookups
            }

    async def _made(self, source: RecordSource) -> _Shared:
        async with AsyncExitStack() as stack:
            observer = _SourceObserver(source, self._observers)
            if isinstance(source, ServiceSource):
                service = await stack.enter_async_context(source.make(self._clock))
                limits = replace(self._limits, batch=service.batch, max_in_flight=service.max_in_flight)
                lookups = RecordLookups(service, self._clock, limits, observer)
            else:
                # Only a daemon with look-ups needs these imports.
                from streamer.salesforce.records import RestRecords  # noqa: PLC0415 - see `streamer.later`
                from streamer.salesforce.rest import Rest  # noqa: PLC0415 - as said

                tokens, http = await stack.enter_async_context(self._logins.opened(source))
                records = RestRecords(Rest(http, tokens, self._clock, api_version=source.api_version))
                lookups = RecordLookups(records, self._clock, self._limits, observer)
            await stack.enter_async_context(lookups.running())
            shared = self._shared[source] = _Shared(lookups=lookups, resources=stack.pop_all())
            self.on_read.append(lookups.changed)
        return shared
