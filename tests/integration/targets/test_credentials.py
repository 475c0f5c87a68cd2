"""OAuth 2 client credentials, and the secrecy of all credentials."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from pydantic import SecretStr
from yarl import URL

from streamer.clock import TurnedClock
from streamer.events import Delivered, Hold, Retry
from streamer.sandbox.targets import ErpReceiver
from streamer.sandbox.targets.token_endpoint import TokenEndpoint
from subscribers.erp import Erp
from subscribers.http import HttpSettings
from subscribers.http.auth import OAuth2Auth
from subscribers.http.connection import ConnectionPool
from subscribers.http.credentials import ClientCredentials
from tests.deliveries import context, delivery

SECRET = "s3cret:/+ü"


@pytest.fixture
def tokens(erp: ErpReceiver) -> TokenEndpoint:
    """Let the ERP require tokens of one hour."""
    erp.require_oauth("streamer", SECRET, lifetime_s=3600.0)
    assert erp.tokens is not None
    return erp.tokens


@asynccontextmanager
async def plugin_for(erp: ErpReceiver, clock: TurnedClock, **auth: str) -> AsyncIterator[Erp]:
    """Open an ERP subscriber with client credentials."""
    token_url = f"{erp.url}/oauth/token"
    defaults = {"kind": "oauth2", "token_url": token_url, "client_id": "streamer", "client_secret": SECRET}
    settings = Erp.Settings.model_validate({"url": f"{erp.url}/api/invoices", "auth": defaults | auth})
    async with Erp(settings, context(clock)) as plugin:
        yield plugin


@pytest.mark.parametrize("client_auth", ["header", "body"])
@pytest.mark.usefixtures("tokens")
async def test_token_is_fetched_and_shown(erp: ErpReceiver, clock: TurnedClock, client_auth: str) -> None:
    """Both ways of naming the client to the token endpoint work, odd characters included."""
    async with plugin_for(erp, clock, client_auth=client_auth) as plugin:
        assert isinstance(await plugin.deliver(delivery()), Delivered)


async def test_many_deliveries_fetch_one_token(
    erp: ErpReceiver, clock: TurnedClock, tokens: TokenEndpoint
) -> None:
    """Deliveries that need the token while it is fetched wait for the same one."""
    async with plugin_for(erp, clock) as plugin:
        outcomes = await asyncio.gather(*(plugin.deliver(delivery(key=str(n))) for n in range(20)))

    assert {type(outcome) for outcome in outcomes} == {Delivered}
    assert tokens.requests == 1


async def test_refused_token_is_renewed_once_for_all(
    erp: ErpReceiver, clock: TurnedClock, tokens: TokenEndpoint
) -> None:
    """Twenty deliveries that get a 401 share one renewal, and all succeed."""
    async with plugin_for(erp, clock) as plugin:
        await plugin.deliver(delivery(key="first"))
        tokens.revoke_all()
        outcomes = await asyncio.gather(*(plugin.deliver(delivery(key=str(n))) for n in range(20)))

    assert {type(outcome) for outcome in outcomes} == {Delivered}
    assert tokens.requests == 2


async def test_late_refusal_of_an_old_token_takes_the_new_one(
    erp: ErpReceiver, clock: TurnedClock, tokens: TokenEndpoint
) -> None:
    """A 401 that arrives after the renewal is answered without another one."""
    token_url = f"{erp.url}/oauth/token"
    auth = OAuth2Auth(
        kind="oauth2", token_url=token_url, client_id="streamer", client_secret=SecretStr(SECRET)
    )
    connection = await ConnectionPool(HttpSettings(allow_private=True), clock).open()
    credentials = ClientCredentials(auth, connection, clock)
    old = await credentials.proof()
    new = await credentials.renewed(old)

    assert await credentials.renewed(old) is new
    assert new is not old
    assert tokens.requests == 2
    await connection.close()


async def test_refusal_of_a_fresh_token_holds_the_target(
    erp: ErpReceiver, clock: TurnedClock, tokens: TokenEndpoint
) -> None:
    """After one renewal the operator is told; the event keeps its attempts."""
    erp.faults.unauthorized = True
    async with plugin_for(erp, clock) as plugin:
        outcome = await plugin.deliver(delivery())

    assert isinstance(outcome, Hold)
    assert "check the subscriber's credentials" in outcome.reason
    assert (tokens.requests, len(erp.journal)) == (2, 2)


async def test_token_is_renewed_before_it_expires(
    erp: ErpReceiver, clock: TurnedClock, tokens: TokenEndpoint
) -> None:
    """A token is used for 59 minutes of its hour and never refused."""
    async with plugin_for(erp, clock) as plugin:
        await plugin.deliver(delivery(key="1"))
        await clock.turn(3_539.0)
        await plugin.deliver(delivery(key="2"))
        asked_before = tokens.requests
        await clock.turn(1.0)
        await plugin.deliver(delivery(key="3"))

    assert (asked_before, tokens.requests) == (1, 2)
    assert {record.status for record in erp.journal} == {201, 200}


@pytest.mark.usefixtures("tokens")
async def test_wrong_client_holds_the_target(erp: ErpReceiver, clock: TurnedClock) -> None:
    """The error names the settings to check and the endpoint's own error."""
    async with plugin_for(erp, clock, client_secret="wrong-secret") as plugin:
        outcome = await plugin.deliver(delivery())

    assert isinstance(outcome, Hold)
    assert "refused the client (invalid_client): check auth.client_id" in outcome.reason
    assert len(erp.journal) == 0


async def test_token_endpoint_that_is_down_holds_the_target(
    erp: ErpReceiver, clock: TurnedClock, tokens: TokenEndpoint
) -> None:
    """Without a token nothing can be delivered, so no event loses an attempt."""
    tokens.down = True
    async with plugin_for(erp, clock) as plugin:
        outcomes = await asyncio.gather(*(plugin.deliver(delivery(key=str(n))) for n in range(5)))
        tokens.down = False
        later = await plugin.deliver(delivery())

    assert {type(outcome) for outcome in outcomes} == {Hold}
    assert isinstance(later, Delivered)


async def test_cancelled_delivery_leaves_the_token_to_the_others(
    erp: ErpReceiver, clock: TurnedClock, tokens: TokenEndpoint
) -> None:
    """The delivery that requested the token can be cancelled; the second still gets it."""
    tokens.slow_s = 1.0
    async with plugin_for(erp, clock) as plugin:
        first, second = (asyncio.create_task(plugin.deliver(delivery(key=key))) for key in "ab")
        while not tokens.requests:
            await clock.turn(0.0)
        first.cancel()
        await clock.turn(1.0)
        assert isinstance(await second, Delivered)

    assert first.cancelled()
    assert tokens.requests == 1


@pytest.mark.usefixtures("tokens")
async def test_echoed_credentials_are_taken_out_of_outcomes(erp: ErpReceiver, clock: TurnedClock) -> None:
    """A target that prints our headers into its error page reveals nothing."""
    erp.faults.fail_keys, erp.faults.echo = ".", True
    async with plugin_for(erp, clock) as plugin:
        outcome = await plugin.deliver(delivery())

    assert isinstance(outcome, Retry)
    assert '"Authorization":"Bearer ***"' in outcome.answer


@pytest.mark.parametrize(
    "code", ["c0de-that-nobody-else-knows", "abCDEF0123%2BxyZ/klmnop==", "abCDEF0123+xyZ/klmnop=="]
)
async def test_code_in_the_url_is_taken_out_of_outcomes(
    erp: ErpReceiver, clock: TurnedClock, code: str
) -> None:
    """Some targets identify their clients by it."""
    erp.faults.fail_keys, erp.faults.echo = ".", True
    url = f"{erp.url}/api/invoices?company=Acme&code={code}"
    async with Erp(Erp.Settings.model_validate({"url": url}), context(clock)) as plugin:
        outcome = await plugin.deliver(delivery())

    assert isinstance(outcome, Retry)
    assert "company=Acme&code=***" in outcome.answer
    assert "klmnop" not in str(outcome)
    assert "nobody" not in str(outcome)


async def test_key_in_the_query_stands_beside_the_other_parameters(
    erp: ErpReceiver, clock: TurnedClock
) -> None:
    """Of an address with parameters of its own, and in no header."""
    auth = {"kind": "api_key", "query": "code", "key": "a key/+&"}
    url = f"{erp.url}/api/invoices?company=A%2FB"
    async with Erp(Erp.Settings.model_validate({"url": url, "auth": auth}), context(clock)) as plugin:
        assert isinstance(await plugin.deliver(delivery()), Delivered)

    sent = URL(erp.journal[0].path)
    assert dict(sent.query) == {"company": "A/B", "code": "a key/+&"}


@pytest.mark.parametrize(
    "auth",
    [
        {"kind": "bearer", "token": "hunter22"},
        {"kind": "basic", "username": "bus", "password": "hunter22"},
        {"kind": "api_key", "key": "hunter22"},
        {"kind": "api_key", "query": "code", "key": "hunter22"},
    ],
)
async def test_fixed_credentials_are_taken_out_of_outcomes(
    erp: ErpReceiver, clock: TurnedClock, auth: dict[str, str]
) -> None:
    """Neither the secret nor its base64 form is in an outcome, or in the plugin's own repr."""
    erp.faults.unauthorized, erp.faults.echo = True, True
    settings = Erp.Settings.model_validate({"url": f"{erp.url}/api/invoices", "auth": auth})
    async with Erp(settings, context(clock)) as plugin:
        outcome = await plugin.deliver(delivery())

    assert isinstance(outcome, Hold)
    assert "***" in outcome.answer
    for shown in (repr(outcome), repr(plugin), repr(vars(plugin))):
        assert "hunter22" not in shown
        assert "YnVzOmh1bnRlcjIy" not in shown
