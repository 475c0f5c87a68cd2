"""Checks of targets and look-up services: connection and credentials, by harmless calls."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial

from streamer.clock import Clock
from streamer.dispatch.delivery.enrichment import EnrichmentSource
from streamer.doctor.check import Area, Check, CheckResult, Inapplicable, failed, ok
from streamer.events import SubscriberName
from streamer.ports import Examinable, ServiceSource, Subscriber, TargetReport
from streamer.settings import SubscriberSettings

_REMEDY = "check the subscriber's settings, and that the target runs"
_SERVICE_REMEDY = "check the settings under http in enrich, and that the service runs"


def target_checks(
    subscribers: Mapping[SubscriberName, SubscriberSettings],
    makers: Mapping[SubscriberName, Callable[[], Subscriber]],
) -> Iterator[Check]:
    """Yield a check for each subscriber. The plugin is created, but not opened."""
    for name, make in makers.items():
        run = partial(_examined, name, subscribers[name].uses, make)
        yield Check(area=Area.SUBSCRIBERS, name=name, run=run)


async def _examined(name: SubscriberName, uses: str, make: Callable[[], Subscriber]) -> CheckResult:
    subscriber = make()
    report = await subscriber.examine_target() if isinstance(subscriber, Examinable) else None
    if report is None:
        raise Inapplicable(
            f"the plugin {uses} offers no harmless call to check the target; to try the target, send a "
            f"test event with `streamer subscribers test {name}`"
        )
    return _verdict(report, _REMEDY)


def service_checks(enrichments: Mapping[SubscriberName, EnrichmentSource], clock: Clock) -> Iterator[Check]:
    """Yield a check for each look-up service, named after the first look-up that uses the service."""
    services: dict[ServiceSource, str] = {}
    for name, source in enrichments.items():
        for lookup in source.lookups:
            if lookup.service is not None:
                services.setdefault(lookup.service, f"{name}, enrich {lookup.name}")
    for service, first in services.items():
        run = partial(_examined_service, service, clock)
        yield Check(area=Area.SUBSCRIBERS, name=first, run=run)


async def _examined_service(source: ServiceSource, clock: Clock) -> CheckResult:
    service = source.make(clock)
    if not isinstance(service, Examinable):
        raise Inapplicable("the service's plugin offers no harmless call to check the service")
    return _verdict(await service.examine_target(), _SERVICE_REMEDY)


def _verdict(report: TargetReport, remedy: str) -> CheckResult:
    if report.is_well:
        return ok(report.found)
    verdict = failed(report.found, report.remedy)
    return verdict if verdict.remedy else failed(verdict.found, remedy)
