"""Look-ups over the REST API of a sandbox: refusals, and the number of requests."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from streamer.app.enriching import SharedLookups
from streamer.clock import SystemClock
from streamer.dispatch.lookups.cache import FieldNames
from streamer.dispatch.lookups.records import RecordLookups
from streamer.errors import RecordsRefused, RetryLater
from streamer.observe.metrics import Metrics
from streamer.salesforce.auth.flows import Logins
from streamer.sandbox import Sandbox
from streamer.settings import LookupsSettings
from tests.streaming import org_at


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """An org, and look-ups of its records."""

    sandbox: Sandbox
    lookups: RecordLookups
    metrics: Metrics

    def account(self, **fields: str) -> str:
        """Create an account, and return its id."""
        with self.sandbox.org.transaction() as transaction:
            return transaction.create("Account", {"Name": "Acme", **fields})

    def calls(self, result: str = "answered") -> float | None:
        """Return the number of calls with that result."""
        return self.metrics.registry.get_sample_value("streamer_lookup_calls_total", {"result": result})


@asynccontextmanager
async def opened(**settings: float) -> AsyncIterator[Desk]:
    """Yield look-ups of a fresh org."""
    clock = SystemClock()
    metrics = Metrics(clock=clock)
    lookups = SharedLookups(Logins(clock), clock, LookupsSettings.model_validate(settings), metrics.lookups)
    async with Sandbox(clock) as sandbox, lookups.opened(org_at(sandbox.url)) as opened_lookups:
        yield Desk(sandbox=sandbox, lookups=opened_lookups, metrics=metrics)


async def test_missing_and_deleted_records_are_none() -> None:
    """And names are found in any case."""
    async with opened() as desk:
        record_id, deleted = desk.account(), desk.account()
        with desk.sandbox.org.transaction() as transaction:
            transaction.delete("Account", deleted)
        assert await desk.lookups.find("Account", record_id, FieldNames.of("name", "Phone")) == {
            "name": "Acme",
            "Phone": None,
        }
        assert await desk.lookups.find("Account", deleted, FieldNames.of("name")) is None
        assert await desk.lookups.find("Account", "001999999999999AAA", FieldNames.of("name")) is None


async def test_expired_token_is_renewed_once_for_all() -> None:
    """The look-up does not notice."""
    async with opened() as desk:
        record_id = desk.account()
        await desk.lookups.find("Account", record_id, FieldNames.of("Name"))
        desk.sandbox.tokens.revoke_all()
        assert await desk.lookups.find("Account", desk.account(), FieldNames.of("Name")) == {"Name": "Acme"}


async def test_field_that_the_org_does_not_know_is_named() -> None:
    """An INVALID_FIELD; the sandbox says the same of a field that the user must not see."""
    async with opened() as desk:
        record_id = desk.account()
        with pytest.raises(RecordsRefused, match="No such column 'Nonsense'") as raised:
            await desk.lookups.find("Account", record_id, FieldNames.of("Name", "Nonsense"))
        assert (raised.value.field, raised.value.code) == ("Nonsense", "INVALID_FIELD")
        assert await desk.lookups.find("Account", record_id, FieldNames.of("Name")) == {"Name": "Acme"}
        assert (desk.calls("refused"), desk.calls()) == (1, 1)


async def test_object_that_the_user_must_not_read_is_refused() -> None:
    """In Salesforce's words."""
    async with opened() as desk:
        desk.sandbox.faults.refuse_call(code="INSUFFICIENT_ACCESS", message="insufficient access rights")
        with pytest.raises(RecordsRefused, match="INSUFFICIENT_ACCESS") as raised:
            await desk.lookups.find("Account", desk.account(), FieldNames.of("Name"))
        assert raised.value.field == ""


@pytest.mark.parametrize(
    ("arm", "said"),
    [
        (lambda desk: desk.sandbox.faults.use_up_requests(), "the org has reached its limit of API requests"),
        (lambda desk: desk.sandbox.faults.refuse_call(status=503, code="SERVER_UNAVAILABLE"), "HTTP 503"),
    ],
)
async def test_org_that_can_not_answer_is_left_alone_for_a_while(
    arm: Callable[[Desk], None], said: str
) -> None:
    """The next look-up fails without a call."""
    async with opened() as desk:
        arm(desk)
        for _ in range(2):
            with pytest.raises(RetryLater, match=said):
                await desk.lookups.find("Account", desk.account(), FieldNames.of("Name"))
        assert desk.calls("failed") == 1


async def test_lookups_leave_requests_to_others() -> None:
    """As much as `reserve` says, by what each answer tells."""
    async with opened(reserve=0.2) as desk:
        desk.sandbox.faults.use_up_requests(share=0.85)
        known = desk.account()
        await desk.lookups.find("Account", known, FieldNames.of("Name"))
        with pytest.raises(RetryLater, match="15% of the org's daily requests are left"):
            await desk.lookups.find("Account", desk.account(), FieldNames.of("Name"))
        assert await desk.lookups.find("Account", known, FieldNames.of("Name")) == {"Name": "Acme"}
        assert desk.metrics.registry.get_sample_value("streamer_lookups_waiting") == 1


async def test_two_thousand_records_take_one_call() -> None:
    """As many as Salesforce takes."""
    async with opened(batch=2_000, collect_s=5) as desk:
        ids = [f"001{number:012d}AAA" for number in range(900_000, 902_000)]
        for each in ids:
            desk.lookups.expect("Account", each, FieldNames.of("Name"))
        assert await desk.lookups.find("Account", ids[0], FieldNames.of("Name")) is None
        assert desk.calls() == 1


async def test_users_share_calls_and_cache_until_the_last_has_gone() -> None:
    """Each org has its own."""
    clock = SystemClock()
    lookups = SharedLookups(Logins(clock), clock, LookupsSettings(), Metrics(clock=clock).lookups)
    async with Sandbox(clock) as sandbox:
        org = org_at(sandbox.url)
        async with lookups.opened(org) as first:
            async with lookups.opened(org) as second:
                assert first is second
            async with lookups.opened(org.model_copy(update={"api_version": "65.0"})) as other:
                assert other is not first
            assert await first.find("Account", "001000000000001AAA", FieldNames.of("Name")) is None
        async with lookups.opened(org) as later:
            assert later is not first
