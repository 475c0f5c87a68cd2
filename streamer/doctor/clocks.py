"""Check of this machine's clock against the login server's clock."""

from collections.abc import Iterator

import aiohttp
from yarl import URL

from streamer.clock import CLOCKS_DIFFER_S, Clock
from streamer.doctor.check import Area, Check, CheckResult, Inapplicable, failed, ok, warning
from streamer.doctor.org import OrgSession
from streamer.errors import SalesforceUnavailable
from streamer.salesforce.responses import time_of
from streamer.web.proxy import ProxyFailed, proxy_for, send

# A Date header has a resolution of one second.
_NOTICEABLE_S = 10.0
_REMEDY = "synchronise this machine's clock, for example with chrony or another NTP client"


def clock_checks(session: OrgSession) -> Iterator[Check]:
    """Yield the check of this machine's clock against Salesforce's clock."""

    async def run() -> CheckResult:
        return await _compared(session)

    yield Check(area=Area.CLOCK, name="clock", run=run)


def skew_verdict(ahead_s: float) -> CheckResult:
    """Return the result for a clock that is `ahead_s` seconds ahead of Salesforce's clock."""
    by_s = abs(ahead_s)
    said = f"this machine's clock is {by_s:.0f} s {'ahead of' if ahead_s > 0 else 'behind'} Salesforce's"
    if by_s > CLOCKS_DIFFER_S:
        return failed(f"{said}, so a login by jwt can fail, and the times in VERIFIED are wrong", _REMEDY)
    return (
        warning(said, _REMEDY)
        if by_s > _NOTICEABLE_S
        else ok("this machine's clock agrees with Salesforce's")
    )


async def _compared(session: OrgSession) -> CheckResult:
    settings, clock = session.settings, session.clock
    setting = settings.proxy.get_secret_value() if settings.proxy else None
    url = URL(f"{settings.login_url}/services/data")
    proxy = proxy_for(url, setting=setting, key="org.proxy")
    asked = clock.now()
    try:
        async with await send(session.http, "GET", url, proxy=proxy) as response:
            told = time_of(response)
    except (aiohttp.ClientError, OSError, ProxyFailed) as exc:
        raise SalesforceUnavailable(f"{settings.login_url} can't be reached: check org.login_url") from exc
    if told is None:
        raise Inapplicable("the server's answer has no Date header, so the doctor can't compare the clocks")
    # The header cuts off half a second on average.
    return skew_verdict(_middle(asked, clock) - told - 0.5)


def _middle(asked: float, clock: Clock) -> float:
    """Return the time halfway between the request and its answer."""
    return (asked + clock.now()) / 2
