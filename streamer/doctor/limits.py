"""Limits of the org: what is left of those that this configuration uses, and for how long."""

from collections.abc import Iterator, Sequence

from streamer.channel_paths import ChannelKind
from streamer.doctor.check import Area, Check, CheckResult, failed, ok, skipped, warning
from streamer.doctor.org import LOGIN, OrgSession
from streamer.quota import KEPT_SHARE, Limit, OrgLimit, headroom, limits_of
from streamer.salesforce.rest import RequestRefused
from streamer.settings import Settings, Transport

_EVENTS = {
    ChannelKind.CHANGES: OrgLimit.DELIVERED_EVENTS,
    ChannelKind.EVENTS: OrgLimit.DELIVERED_EVENTS,
    ChannelKind.PUSH_TOPIC: OrgLimit.PUSH_TOPIC_EVENTS,
    ChannelKind.GENERIC: OrgLimit.GENERIC_EVENTS,
}
_PERMISSION = "give the user of org.auth the permission View Setup and Configuration"
_MOST_TIMES = 100


def limit_checks(settings: Settings, session: OrgSession) -> Iterator[Check]:
    """Yield the check of the org's limits."""

    async def run() -> Sequence[CheckResult]:
        await session.token.needed(LOGIN)
        try:
            limits = limits_of(await session.rest.limits())
        except RequestRefused as error:
            return [warning(f"the org does not tell its limits ({error})", _PERMISSION)]
        found = [limit_verdict(key, limits[key]) for key in _used(settings) if key in limits]
        return found or [skipped("the org reports none of the limits that matter here")]

    yield Check(area=Area.LIMITS, name="limits", run=run)


def limit_verdict(key: OrgLimit, limit: Limit) -> CheckResult:
    """Return what is left of a limit, and how much more of it could be used."""
    said = f"{key}: {limit.remaining:,} of {limit.most:,} are left"
    share = limit.share_left
    if key is OrgLimit.STREAMING_CLIENTS:
        return ok(said) if limit.remaining else failed(said, "end other clients of the Streaming API")
    if share is None:
        return warning(f"{said}: the org has none at all", "ask Salesforce for the feature, or for an add-on")
    if not limit.remaining:
        return failed(said, "wait until the use of 24 hours ago returns, or ask Salesforce for an add-on")
    if share < KEPT_SHARE:
        return warning(
            f"{said} ({share:.1%}); {_forecast(limit)}",
            f"use less of them, or ask Salesforce for an add-on; below {KEPT_SHARE:.0%} no replay begins",
        )
    return ok(f"{said}; {_forecast(limit)}")


def _forecast(limit: Limit) -> str:
    times = headroom(limit)
    if times is None:
        return "none was used in 24 hours"
    shown = f"up to {times:.1f}" if times < _MOST_TIMES else f"more than {_MOST_TIMES}"
    return f"they last at {shown} times the rate of the last 24 hours"


def _used(settings: Settings) -> Sequence[OrgLimit]:
    """Return the limits that the configuration uses, each once."""
    events = [_EVENTS[ChannelKind.of(each.path)] for each in settings.channels]
    cometd = any(settings.transport_of(each) is Transport.COMETD for each in settings.channels)
    clients = [OrgLimit.STREAMING_CLIENTS] if cometd else []
    return list(dict.fromkeys([*events, *clients, OrgLimit.API_REQUESTS]))
