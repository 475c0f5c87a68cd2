"""A daemon whose login leads to another org reads nothing until the operator confirms the org."""

from pathlib import Path
from typing import Any

import pytest

from streamer.clock import SystemClock
from streamer.sandbox import OrgSetup, Sandbox, SandboxSettings
from tests.acceptance.kept import KeptInSqlite
from tests.acceptance.sent import sent_by
from tests.configuration import ORDER_KEY, sandbox_configuration, written
from tests.daemon import Daemon
from tests.waiting import until

_REFRESHED = "00DSb0000000002MAA"


@pytest.fixture
def log(tmp_path: Path) -> dict[str, Any]:
    """The log of both orgs."""
    return KeptInSqlite(tmp_path).configuration


async def test_refreshed_org_is_read_once_it_is_named(
    sandbox: Sandbox, log: dict[str, Any], tmp_path: Path
) -> None:
    """Its id is new, so that no checkpoint fits, and reading would begin somewhere without a word."""
    first = sandbox_configuration(sandbox.url, log=log)
    async with Daemon.running(written(tmp_path, first)) as daemon:
        _place_order(sandbox, 1)
        await daemon.ready()
        await until(lambda: _is_kept(tmp_path, sandbox))
        assert await daemon.stop() == 0

    settings = SandboxSettings(org=OrgSetup(org_id=_REFRESHED))
    async with Sandbox(SystemClock(), settings=settings) as refreshed:
        _place_order(refreshed, 2)
        second = sandbox_configuration(refreshed.url, log=log)
        async with Daemon.running(written(tmp_path, second)) as daemon:
            assert await daemon.ended() == 1
        assert f"logs in to the org {_REFRESHED}, but the events in the log come from 00DSb" in daemon.output
        assert f"set org.id to {_REFRESHED}" in daemon.output

        second["org"]["id"] = _REFRESHED
        async with Daemon.running(written(tmp_path, second)) as daemon:
            await daemon.ready()
            await until(lambda: _is_kept(tmp_path, refreshed))
            assert await daemon.stop() == 0


def _place_order(sandbox: Sandbox, number: int) -> None:
    fields = {ORDER_KEY: "A-1", "Number__c": number}
    sandbox.org.publish_platform_event("Order_Placed__e", fields)


async def _is_kept(directory: Path, sandbox: Sandbox) -> bool:
    kept = {each.id for each in await KeptInSqlite(directory).events()}
    return {each.id for each in sent_by(sandbox)} <= kept
