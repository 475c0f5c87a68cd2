"""Faults of the configuration, its files, the login and the org."""

import os
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from streamer.clock import SystemClock
from streamer.doctor import Area, CheckStatus
from streamer.sandbox import OrgSetup, Sandbox, SandboxSettings, User, parse_schema
from streamer.sandbox.usage import UsageLimits
from tests.configuration import over_pubsub, sandbox_configuration
from tests.doctor import examined, faults, line, the_fault

SCHEMA = {
    "closed": True,
    "events": {"Order_Placed__e": {"fields": {"Order_No__c": "string"}}},
    "channels": {"ChangeEvents": {"Account": [], "Opportunity": []}},
}
PASSWORD = {
    "flow": "password",
    "client_id": "sandbox",
    "client_secret": "sandbox-secret",
    "username": "bus@sandbox.example",
    "password": "sandbox-password",
}
Change = Callable[[dict[str, Any], Sandbox], object]


class AheadClock(SystemClock):
    """Clock that is two minutes ahead of everybody else's."""

    def now(self) -> float:
        """Return the wrong time."""
        return super().now() + 120


@asynccontextmanager
async def an_org(**usage: int) -> AsyncIterator[Sandbox]:
    """An org that knows two objects' changes and one event, and counts what is used."""
    org = OrgSetup(schema=parse_schema(SCHEMA), usage=UsageLimits(**usage))
    async with Sandbox(SystemClock(), settings=SandboxSettings(org=org), pubsub_port=0) as sandbox:
        yield sandbox


def sound(sandbox: Sandbox, folder: Path) -> dict[str, Any]:
    """Return a configuration without a fault."""
    return sandbox_configuration(sandbox.url, log={"sqlite": {"path": str(folder / "log.db")}})


def set_auth(**auth: Any) -> Change:
    """Return what sets keys of `org.auth`."""
    return lambda configuration, _: configuration["org"]["auth"].update(auth)


def set_org(**keys: Any) -> Change:
    """Return what sets keys of `org`."""
    return lambda configuration, _: configuration["org"].update(keys)


def read(*paths: str) -> Change:
    """Return what sets the channels."""
    return lambda configuration, _: configuration.update(channels=list(paths))


def restrict(**rights: Any) -> Change:
    """Return what takes rights from the user."""

    def change(_: dict[str, Any], sandbox: Sandbox) -> None:
        sandbox.users.put(User.model_validate({"username": sandbox.org.settings.username, **rights}))

    return change


def use_pubsub(*, at: str = "") -> Change:
    """Return what reads over the Pub/Sub API, at its address or another one."""

    def change(configuration: dict[str, Any], sandbox: Sandbox) -> None:
        configuration.update(over_pubsub(configuration, at or sandbox.pubsub_address))

    return change


def subscribe(**settings: Any) -> Change:
    """Return what adds a subscriber that writes to the standard output."""
    return lambda configuration, _: configuration.update(
        subscribers={"printer": {"uses": "stdout", **settings}}
    )


def use_up(share: float) -> Change:
    """Return what uses up a share of the day's events."""

    def change(_: dict[str, Any], sandbox: Sandbox) -> None:
        sandbox.org.usage.delivered_events.use(round(share * 10_000))

    return change


def name_without_scheme(configuration: dict[str, Any], sandbox: Sandbox) -> None:
    """Name the Pub/Sub API's host and port alone."""
    configuration["org"] |= {"transport": "pubsub", "pubsub": {"endpoint": sandbox.pubsub_address}}


BROKEN: dict[str, tuple[list[Change], Area, str]] = {
    "a wrong secret": (
        [set_auth(client_secret="wrong")],
        Area.ORG,
        "failed login: .*refused.*-> check org.auth",
    ),
    "an org that is not there": (
        [set_org(login_url="http://localhost:9")],
        Area.ORG,
        "failed login: http://localhost:9.*can't be reached.*-> check org.login_url",
    ),
    "a login that ends": (
        [lambda configuration, _: configuration["org"].update(auth=PASSWORD)],
        Area.ORG,
        "warning login flow: .*retiring the login flow password.*-> set org.auth.flow",
    ),
    "a version that the org lacks": (
        [set_org(api_version="999.0")],
        Area.ORG,
        'failed API version: .*does not serve version 999.0.*-> set org.api_version to "',
    ),
    "another org than named": (
        [set_org(id="00D5g000004XYZaEAG")],
        Area.ORG,
        "failed identity: .*org.id is 00D5g000004XYZaEAG.*-> correct org.login_url",
    ),
    "an event that does not exist": (
        [read("/event/Order_Shipped__e")],
        Area.CHANNELS,
        (
            "failed /event/Order_Shipped__e: Salesforce refuses the subscription .*doesn't exist.*-> "
            "check the channel's name"
        ),
    ),
    "an event that does not exist over the Pub/Sub API": (
        [read("/event/Order_Shipped__e"), use_pubsub()],
        Area.CHANNELS,
        (
            "failed /event/Order_Shipped__e: Salesforce refuses the subscription .*NOT_FOUND.*-> check "
            "the channel's name"
        ),
    ),
    "an event that the user can't read": (
        [read("/event/Order_Placed__e"), use_pubsub(), restrict(objects={"Account": ["read"]})],
        Area.CHANNELS,
        (
            "failed /event/Order_Placed__e: Salesforce refuses the subscription .*-> check the "
            "channel's name, and give"
        ),
    ),
    "changes that the user can't see all of": (
        [read("/data/AccountChangeEvent"), restrict(objects={"Account": ["read"]})],
        Area.CHANNELS,
        "failed /data/AccountChangeEvent: Salesforce refuses the subscription .*-> .*View All Records",
    ),
    "a channel that is closed to the user": (
        [read("/data/ChangeEvents"), restrict(channels=["/event/*"])],
        Area.CHANNELS,
        "failed /data/ChangeEvents: .*403::Restricted channel",
    ),
    "an object that is not selected": (
        [read("/data/LeadChangeEvent")],
        Area.CHANNELS,
        (
            "failed /data/LeadChangeEvent: .*does not select Lead, so no events.*"
            "-> select the entity with streamer org cdc enable Lead"
        ),
    ),
    "a subscriber that waits for an object which is not selected": (
        [read("/data/ChangeEvents"), subscribe(on="salesforce.cdc.Lead.*")],
        Area.CHANNELS,
        "failed /data/ChangeEvents: .*does not select Lead, but printer waits for changes of Lead",
    ),
    "an org that announces nothing": (
        [read("/data/ChangeEvents"), lambda _, sandbox: sandbox.org.channels.configure((), ())],
        Area.CHANNELS,
        "warning /data/ChangeEvents: no entity is selected on any channel",
    ),
    "a Pub/Sub API behind a firewall": (
        [read("/data/ChangeEvents"), use_pubsub(at="localhost:9")],
        Area.CHANNELS,
        "failed /data/ChangeEvents: the Pub/Sub API at http://localhost:9 does not answer.*-> check org.pub",
    ),
    "a Pub/Sub API without TLS": (
        [read("/data/ChangeEvents"), name_without_scheme],
        Area.CHANNELS,
        (
            "failed /data/ChangeEvents: .* does not use TLS -> check that org.pubsub.endpoint begins "
            "with http://"
        ),
    ),
    "a user who can't see the setup": (
        [restrict(setup="none")],
        Area.LIMITS,
        "warning limits: the org refuses to report its limits.*-> .*View Setup and Configuration",
    ),
    "a day whose events are used up": (
        [use_up(1.0)],
        Area.LIMITS,
        "failed limits: DailyDeliveredPlatformEvents: 0 of 10,000 are left -> wait until",
    ),
    "a day whose events run short": (
        [use_up(0.9)],
        Area.LIMITS,
        r"warning limits: DailyDeliveredPlatformEvents: 1,000 of 10,000 are left \(10.0%\).*up to 1.1 times",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
async def test_fault_of_the_org_is_one_line(name: str, tmp_path: Path) -> None:
    """With what to do about it."""
    changes, area, expected = BROKEN[name]
    async with an_org(delivered_events=10_000) as sandbox:
        configuration = sound(sandbox, tmp_path)
        for change in changes:
            change(configuration, sandbox)
        diagnosis = await examined(tmp_path, configuration, area, timeout_s=10)

    assert re.search(expected, the_fault(diagnosis)), the_fault(diagnosis)


MISSPELT: dict[str, tuple[dict[str, Any], str]] = {
    "an expression": (
        {"when": "data.fields.StagName == 'Closed Won'"},
        "subscribers.printer names the field StagName, but Opportunity .*-> did you mean StageName",
    ),
    "a body": (
        {"body": {"sum": "data.fields.Amout"}},
        "subscribers.printer names the field Amout, but Opportunity .*-> did you mean Amount",
    ),
    "a template": (
        {"text": "{{ data.fields.CloseDat }}", "settings": {"format": "text"}},
        "subscribers.printer names the field CloseDat, but Opportunity .*-> did you mean CloseDate",
    ),
    "the id of a look-up": (
        {"enrich": {"account": {"sobject": "Account", "id": "data.fields.AcountId", "fields": ["Name"]}}},
        "subscribers.printer names the field AcountId, but Opportunity .*-> did you mean AccountId",
    ),
}


@pytest.mark.parametrize("name", MISSPELT)
async def test_misspelt_field_of_a_subscriber_is_one_warning(name: str, tmp_path: Path) -> None:
    """The org's describe knows the right name."""
    settings, expected = MISSPELT[name]
    async with an_org() as sandbox:
        configuration = sound(sandbox, tmp_path)
        subscribe(on="salesforce.cdc.Opportunity.*", **settings)(configuration, sandbox)
        diagnosis = await examined(tmp_path, configuration)

    assert re.search(f"warning fields of printer: {expected}", the_fault(diagnosis))


async def test_misspelt_and_hidden_fields_of_protection_are_warnings(tmp_path: Path) -> None:
    """A rule that protects nothing would leave the real field as it is."""
    async with an_org() as sandbox:
        configuration = sound(sandbox, tmp_path)
        restrict(hidden_fields=["Opportunity.Amount"])(configuration, sandbox)
        configuration["protect"] = [
            {"entity": "Opportunity", "fields": ["NextStp", "Amount"], "how": "drop"},
        ]
        diagnosis = await examined(tmp_path, configuration)

    hidden, misspelt = sorted(faults(diagnosis))
    assert re.search(
        "warning fields of protect: protect names the field Amount, .*give the user access", hidden
    )
    assert re.search("protect names the field NextStp, .*-> did you mean NextStep", misspelt)


async def test_fields_that_the_org_has_are_counted(tmp_path: Path) -> None:
    """A field of a second object that `on` names counts, too."""
    async with an_org() as sandbox:
        configuration = sound(sandbox, tmp_path)
        subscribe(
            on=["salesforce.cdc.Opportunity.*", "salesforce.cdc.Account.updated"],
            body={"stage": "data.fields.StageName", "industry": "data.fields.Industry"},
        )(configuration, sandbox)
        diagnosis = await examined(tmp_path, configuration)

    assert not faults(diagnosis)
    said = [line(each) for each in diagnosis.findings if each.name == "fields of printer"]
    assert said == [
        "ok fields of printer: the org has every field that subscribers.printer names: 2 fields -> "
    ]


async def test_sound_set_up_has_no_fault(tmp_path: Path) -> None:
    """Over both transports, and nothing is left undone."""
    async with an_org() as sandbox:
        configuration = sound(sandbox, tmp_path)
        over_cometd = await examined(tmp_path, configuration)
        diagnosis = await examined(tmp_path, over_pubsub(configuration, sandbox.pubsub_address))

    assert not faults(over_cometd)
    assert not faults(diagnosis)
    assert {each.area for each in diagnosis.findings} >= {*Area} - {Area.FILES, Area.SUBSCRIBERS}
    assert os.listdir(tmp_path) == ["streamer.yaml"]  # noqa: PTH208 - a Path would block, too


async def test_what_needs_the_login_is_skipped(tmp_path: Path) -> None:
    """One wrong secret is one fault, however many checks it keeps from being made."""
    async with an_org() as sandbox:
        configuration = sound(sandbox, tmp_path)
        configuration["org"]["auth"]["client_secret"] = "wrong"
        diagnosis = await examined(tmp_path, configuration)

    assert the_fault(diagnosis).startswith("failed login")
    skipped = [line(each) for each in diagnosis.findings if each.verdict.status is CheckStatus.SKIPPED]
    assert sum("needs the login, which failed" in each for each in skipped) == 6
    assert "wrong" not in the_fault(diagnosis)


async def test_clock_that_is_wrong_is_one_line(tmp_path: Path) -> None:
    """Also where no login works."""
    async with an_org() as sandbox:
        diagnosis = await examined(tmp_path, sound(sandbox, tmp_path), Area.CLOCK, clock=AheadClock())

    fault = the_fault(diagnosis)
    assert re.search(
        r"failed clock: this machine's clock is 1(19|20|21) s ahead of Salesforce's.*-> synchronise", fault
    )


async def test_mistake_of_the_configuration_is_one_line(tmp_path: Path) -> None:
    """With its place; what it keeps from being checked is skipped."""
    async with an_org() as sandbox:
        configuration = sound(sandbox, tmp_path)
        configuration["org"]["auth"]["client_secret"] = "${NOT_SET_IN_THIS_TEST}"
        diagnosis = await examined(tmp_path, configuration)

    assert not diagnosis.is_configured
    assert re.search(
        r"streamer.yaml:\d+: org.auth.client_secret: .*NOT_SET_IN_THIS_TEST", the_fault(diagnosis)
    )
    skipped = {each.area for each in diagnosis.findings if each.verdict.status is CheckStatus.SKIPPED}
    assert skipped == {*Area} - {Area.CONFIGURATION, Area.FILES}


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        (0o600, None),
        (0o640, None),
        (
            0o644,
            (
                "warning .*secret: every user of this machine can read this file .*0644.*client_secret"
                ".*-> run chmod o-rwx"
            ),
        ),
        (None, "failed .*secret: org.auth.client_secret names this file, but it can't be read: No such file"),
    ],
)
async def test_secret_that_others_can_read_is_one_line(
    tmp_path: Path, mode: int | None, expected: str | None
) -> None:
    """And so is one that is not there; the secret itself is in no line."""
    secret = tmp_path / "secret"
    if mode is not None:
        secret.write_text("sandbox-secret")
        secret.chmod(mode)
    async with an_org() as sandbox:
        configuration = sound(sandbox, tmp_path)
        configuration["org"]["auth"]["client_secret"] = {"file": "secret"}
        diagnosis = await examined(tmp_path, configuration, Area.FILES)

    found = [each for each in faults(diagnosis) if "configuration" not in each.split(":")[0]]
    assert bool(found) is (expected is not None), found
    assert all(re.search(str(expected), each) for each in found), found
    assert diagnosis.is_configured is (mode is not None)
    assert "sandbox-secret" not in "".join(map(line, diagnosis.findings))


async def test_certificate_that_is_missing_is_one_line(tmp_path: Path) -> None:
    """A plugin opens it only at the first delivery."""
    async with an_org() as sandbox:
        configuration = sound(sandbox, tmp_path)
        settings = {"url": "https://erp.example.com", "ca_file": str(tmp_path / "ca.pem")}
        configuration["subscribers"] = {"erp": {"uses": "erp", "on": "*", "settings": settings}}
        diagnosis = await examined(tmp_path, configuration, Area.FILES)

    assert re.search(
        r"failed .*ca.pem: subscribers.erp.settings.ca_file names this file", the_fault(diagnosis)
    )


async def test_flow_of_a_login_that_failed_is_not_called_ok(tmp_path: Path) -> None:
    """It would read as if the login worked."""
    async with an_org() as sandbox:
        configuration = sound(sandbox, tmp_path)
        configuration["org"]["auth"]["client_secret"] = "wrong"
        diagnosis = await examined(tmp_path, configuration, Area.ORG)

    found = {each.name: each.verdict.status for each in diagnosis.findings}
    assert (found["login"], found["login flow"]) == (CheckStatus.FAILED, CheckStatus.SKIPPED)
