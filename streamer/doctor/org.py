"""Checks of the org: login, clock, identity, API version and limits."""

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
from yarl import URL

from streamer.channel_paths import ChannelKind
from streamer.clock import CLOCKS_DIFFER_S, Clock
from streamer.doctor.check import (
    Area,
    Check,
    CheckResult,
    CheckStatus,
    Inapplicable,
    Once,
    failed,
    ok,
    skipped,
    warning,
)
from streamer.errors import LogUnavailable, SalesforceUnavailable, Stop, StreamerError
from streamer.events import Checkpoint, OrgId
from streamer.ingest.repairs import check_org
from streamer.quota import KEPT_SHARE, Limit, OrgLimit, headroom, limits_of
from streamer.salesforce.auth.flows import Logins
from streamer.salesforce.auth.tokens import AccessToken
from streamer.salesforce.responses import time_of
from streamer.salesforce.rest import RequestRefused, Rest
from streamer.salesforce.tooling.client import Tooling
from streamer.salesforce.tooling.setup import ChannelSetup
from streamer.settings import OrgSettings, PasswordAuth, RefreshAuth, Settings, Transport
from streamer.web.proxy import ProxyFailed, proxy_for, send

LOGIN = "the login"
"""Part of the set-up that most checks need."""

# A Date header has a resolution of one second.
_NOTICEABLE_S = 10.0
_REMEDY = "synchronise this machine's clock, for example with chrony or another NTP client"


@dataclass(frozen=True, slots=True, kw_only=True)
class OrgSession:
    """Session with the org. All checks share one login."""

    settings: OrgSettings
    clock: Clock
    http: aiohttp.ClientSession
    rest: Rest
    token: Once[AccessToken]
    setup: Once[ChannelSetup]


@asynccontextmanager
async def opened(settings: OrgSettings, logins: Logins, *, timeout_s: float) -> AsyncIterator[OrgSession]:
    """Prepare a session with the org, without a request. Raises `ConfigurationError`."""
    clock = logins.clock
    async with logins.opened(settings) as (tokens, http):
        rest = Rest(http, tokens, clock, api_version=settings.api_version)

        async def setup() -> ChannelSetup:
            return await Tooling(rest, api_version=settings.api_version).setup()

        session = OrgSession(
            settings=settings,
            clock=clock,
            http=http,
            rest=rest,
            token=Once(tokens.token, clock, timeout_s=timeout_s),
            setup=Once(setup, clock, timeout_s=timeout_s),
        )
        try:
            yield session
        finally:
            await session.token.end()
            await session.setup.end()


def org_checks(session: OrgSession, checkpoints: Once[Sequence[Checkpoint]]) -> Iterator[Check]:
    """Yield the checks of the login and of the org."""

    async def login() -> CheckResult:
        token = await session.token()
        user = f" as user {token.user}" if token.user else ""
        hint = (
            "; if the org rotates refresh tokens, this login has used up a refresh token"
            if isinstance(session.settings.auth, RefreshAuth)
            else ""
        )
        return ok(
            f"{session.settings.login_url} accepts the login{user}; the org is at {token.instance_url}{hint}"
        )

    async def flow() -> CheckResult:
        verdict = flow_verdict(session.settings)
        if verdict.status is CheckStatus.OK:
            # After a failed login, this result would read as if the flow worked.
            await session.token.needed(LOGIN)
        return verdict

    async def version() -> CheckResult:
        await session.token.needed(LOGIN)
        return version_verdict(
            session.settings.api_version, _versions(await session.rest.get("/services/data"))
        )

    async def identity() -> CheckResult:
        token = await session.token.needed(LOGIN)
        return await _identity(token.org, session.settings.id, checkpoints)

    for name, run in (
        ("login", login),
        ("login flow", flow),
        ("API version", version),
        ("identity", identity),
    ):
        yield Check(area=Area.ORG, name=name, run=run)


def flow_verdict(settings: OrgSettings) -> CheckResult:
    """Return a warning if Salesforce has announced the end of the login flow in `settings`.

    Sources: two pages of Salesforce's help, "Migrate from OAuth Username-Password to
    Client Credentials Flow" (article 000886201), which names no date, and "Block
    Authorization Flows to Improve Security".
    """
    if not isinstance(settings.auth, PasswordAuth):
        return ok(f"Salesforce has announced no end of the flow {settings.auth.flow}")
    return warning(
        "Salesforce is retiring the login flow password, and blocks this flow by default in orgs created "
        "since Summer '23",
        "set org.auth.flow to client_credentials or jwt, with an External Client App",
    )


def version_verdict(version: str, served: frozenset[str]) -> CheckResult:
    """Return a fault if `version` of the API is not among the `served` versions."""
    if version in served:
        return ok(f"the org serves version {version} of the API")
    latest = max(served, key=float)
    return failed(
        f"the org does not serve version {version} of the API; its latest version is {latest}",
        f'set org.api_version to "{latest}"',
    )


async def _identity(org: OrgId, expected: str | None, checkpoints: Once[Sequence[Checkpoint]]) -> CheckResult:
    known: frozenset[OrgId] = frozenset()
    if expected is None:
        try:
            known = frozenset(each.channel.org for each in await checkpoints())
        except (LogUnavailable, Stop) as error:
            raise Inapplicable(
                f"the login leads to org {org}, but Streamer can't read the log to compare the org"
            ) from error
    try:
        check_org(org, expected=expected, known=known)
    except StreamerError as error:
        return failed(str(error))
    if expected is not None:
        return ok(f"the login leads to org {org}, as org.id requires")
    return ok(
        f"the login leads to org {org}, and so do the checkpoints in the log"
        if known
        else f"the login leads to org {org}; the log has no checkpoint yet, so any org is accepted"
    )


def _versions(answer: Any) -> frozenset[str]:
    """Return the versions in an answer of `/services/data` (REST API guide, versions)."""
    rows = answer if isinstance(answer, list) else []
    found = (each.get("version") for each in rows if isinstance(each, dict))
    versions = frozenset(each for each in found if isinstance(each, str) and _is_number(each))
    if not versions:
        raise SalesforceUnavailable("the answer to GET /services/data contains no versions")
    return versions


def _is_number(text: str) -> bool:
    whole, dot, part = text.partition(".")
    return bool(dot) and whole.isdecimal() and part.isdecimal()


_EVENT_LIMITS = {
    ChannelKind.CHANGES: OrgLimit.DELIVERED_EVENTS,
    ChannelKind.EVENTS: OrgLimit.DELIVERED_EVENTS,
    ChannelKind.PUSH_TOPIC: OrgLimit.PUSH_TOPIC_EVENTS,
    ChannelKind.GENERIC: OrgLimit.GENERIC_EVENTS,
}
_PERMISSION = "give the user in org.auth the permission View Setup and Configuration"
_MOST_TIMES = 100


def limit_checks(settings: Settings, session: OrgSession) -> Iterator[Check]:
    """Yield the check of the org's limits."""

    async def run() -> Sequence[CheckResult]:
        await session.token.needed(LOGIN)
        try:
            limits = limits_of(await session.rest.limits())
        except RequestRefused as error:
            return [warning(f"the org refuses to report its limits ({error})", _PERMISSION)]
        found = [limit_verdict(key, limits[key]) for key in _used_limits(settings) if key in limits]
        return found or [skipped("the org's report lacks the limits that Streamer uses")]

    yield Check(area=Area.LIMITS, name="limits", run=run)


def limit_verdict(key: OrgLimit, limit: Limit) -> CheckResult:
    """Return a result with the remainder of a limit, and a forecast."""
    said = f"{key}: {limit.remaining:,} of {limit.most:,} are left"
    share = limit.share_left
    if key is OrgLimit.STREAMING_CLIENTS:
        return ok(said) if limit.remaining else failed(said, "stop other clients of the Streaming API")
    if share is None:
        return warning(
            f"{said}, because the org's maximum is 0", "ask Salesforce for the feature or for an add-on"
        )
    if not limit.remaining:
        return failed(
            said,
            ("wait until the use of the last 24 hours no longer counts, or ask Salesforce for an add-on"),
        )
    if share < KEPT_SHARE:
        return warning(
            f"{said} ({share:.1%}); {_forecast(limit)}",
            (
                f"reduce the use, or ask Salesforce for an add-on; below {KEPT_SHARE:.0%}, Streamer does "
                "not read retained events again"
            ),
        )
    return ok(f"{said}; {_forecast(limit)}")


def _forecast(limit: Limit) -> str:
    times = headroom(limit)
    if times is None:
        return "the org used nothing in the last 24 hours"
    shown = f"up to {times:.1f}" if times < _MOST_TIMES else f"more than {_MOST_TIMES}"
    return f"the remaining amount covers {shown} times the use of the last 24 hours"


def _used_limits(settings: Settings) -> Sequence[OrgLimit]:
    """Return the limits that the configuration uses, without duplicates."""
    events = [_EVENT_LIMITS[ChannelKind.of(each.path)] for each in settings.channels]
    cometd = any(settings.transport_of(each) is Transport.COMETD for each in settings.channels)
    clients = [OrgLimit.STREAMING_CLIENTS] if cometd else []
    return list(dict.fromkeys([*events, *clients, OrgLimit.API_REQUESTS]))


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
