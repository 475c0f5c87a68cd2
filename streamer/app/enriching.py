"""Subscribers' look-ups, shared per org and per service."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial

from streamer.clock import Clock
from streamer.dispatch.delivery.enrichment import Enrichment, EnrichmentSource, Lookup
from streamer.dispatch.lookups.reading import LookupObserver
from streamer.dispatch.lookups.records import LookupLimits, RecordLookups
from streamer.errors import RecordsRefused, RetryLater
from streamer.events import Event, JsonObject
from streamer.ports import LookupReader, ServiceSource
from streamer.salesforce.auth.flows import Logins
from streamer.settings import LookupsSettings, OrgSettings


@dataclass(frozen=True, slots=True)
class _StatesOf:
    """States of one object. Look-ups of an object that is loading don't delay those of another object."""

    entity: str


RecordSource = OrgSettings | ServiceSource | _StatesOf
_STATES_AT_ONCE = 1000


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
        """Report the total size of all caches, and whether look-ups are waiting."""
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
        self.states: LookupReader | None = None
        """Reader of the states that this process keeps; `None` if it keeps none."""
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
                each.name: await stack.enter_async_context(self.opened(_source(each, org)))
                for each in source.lookups
            }

    async def _made(self, source: RecordSource) -> _Shared:
        async with AsyncExitStack() as stack:
            observer = _SourceObserver(source, self._observers)
            if isinstance(source, ServiceSource):
                service = await stack.enter_async_context(source.make(self._clock))
                limits = replace(self._limits, batch=service.batch, max_in_flight=service.max_in_flight)
                lookups = RecordLookups(service, self._clock, limits, observer)
            elif isinstance(source, _StatesOf):
                # A look-up costs no request, so a state never comes from a cache.
                limits = replace(
                    self._limits, cache_s=0.0, collect_s=0.0, batch=_STATES_AT_ONCE, max_in_flight=2
                )
                lookups = RecordLookups(self.states or _NoStates(), self._clock, limits, observer)
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


def _source(lookup: Lookup, org: OrgSettings) -> RecordSource:
    if lookup.of_states:
        return _StatesOf(str(lookup.sobject))
    return lookup.service or org


class _NoStates:
    """Reader of a process that was started without states."""

    requests_left = None

    async def read(
        self,
        entity: str,
        ids: Sequence[str],  # noqa: ARG002 - of the port
        fields: Sequence[str],  # noqa: ARG002 - of the port
        /,
    ) -> Mapping[str, JsonObject | RecordsRefused]:
        """Raise `RetryLater`."""
        raise RetryLater(f"this process keeps no states of {entity}: restart it with the new state.objects")
