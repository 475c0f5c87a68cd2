"""Targets: each subscriber's way to its target and its credentials, by what changes nothing there."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial

from streamer.doctor.check import Area, Check, CheckResult, Inapplicable, failed, ok
from streamer.events import SubscriberName
from streamer.ports import Examinable, Subscriber
from streamer.settings import SubscriberSettings

_REMEDY = "check the subscriber's settings, and that the target runs"


def target_checks(
    subscribers: Mapping[SubscriberName, SubscriberSettings],
    makers: Mapping[SubscriberName, Callable[[], Subscriber]],
) -> Iterator[Check]:
    """Yield a check for each subscriber; its plugin is made, and not opened."""
    for name, make in makers.items():
        run = partial(_examined, name, subscribers[name].uses, make)
        yield Check(area=Area.SUBSCRIBERS, name=name, run=run)


async def _examined(name: SubscriberName, uses: str, make: Callable[[], Subscriber]) -> CheckResult:
    subscriber = make()
    report = await subscriber.examine_target() if isinstance(subscriber, Examinable) else None
    if report is None:
        raise Inapplicable(
            f"the plugin {uses} has no call that changes nothing; `streamer subscribers test {name}` sends a "
            "test event"
        )
    if report.is_well:
        return ok(report.found)
    verdict = failed(report.found, report.remedy)
    return verdict if verdict.remedy else failed(verdict.found, _REMEDY)
