"""World of the demo: org, targets and daemon in one process on loopback, with injected faults."""

import asyncio
from collections.abc import AsyncIterator, Callable, Hashable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from streamer.app.daemon import App
from streamer.app.plan import plan
from streamer.app.supervising import DaemonOptions
from streamer.clock import Clock
from streamer.configuration import Document
from streamer.demo.deals import DealBoard
from streamer.demo.outage import OutageCourse
from streamer.demo.report import Accounts
from streamer.demo.scenario import (
    BEFORE,
    BIG_DEAL,
    INVOICE,
    KEY_FIELD,
    SALES_CHANNEL,
    SHIPMENT,
    WRITE_BACK,
    Scenario,
    Steps,
)
from streamer.demo.tally import Tally, Timeline
from streamer.errors import LogUnavailable
from streamer.events import SubscriberName
from streamer.sandbox import Sandbox
from streamer.sandbox.targets.erp import ErpReceiver
from streamer.sandbox.targets.fulfillment import FulfillmentReceiver
from streamer.sandbox.targets.receiver import Receiver
from streamer.sandbox.targets.slack import SlackReceiver

CHANNEL = "/data/ChangeEvents"

# Limits count checks instead of seconds, so that a busy machine gets the time that it needs.
_WAIT_S = 20.0
_START_S = 300.0
_LOOK_S = 0.05


@dataclass(slots=True, kw_only=True)
class World:
    """Running parts of the demo, with the accounts of their events."""

    sandbox: Sandbox
    receivers: dict[SubscriberName, Receiver]
    accounts: Accounts
    timeline: Timeline
    daemon: App
    log: str
    outage: OutageCourse = field(default_factory=OutageCourse)

    @property
    def deals(self) -> DealBoard:
        """Deals that have not taken all their steps."""
        return self.accounts.scenario.deals

    @property
    def letters_command(self) -> str:
        """Command that lists the dead letters while the demo runs."""
        return f"streamer deadletters list --url http://localhost:{self.daemon.supervising.ports.admin}"

    @property
    def console_url(self) -> str:
        """Address of the web console while the demo runs."""
        return f"http://localhost:{self.daemon.supervising.ports.admin}/console"

    def observe(self) -> None:
        """Add the changes since the last call to the timeline, the deals and the course of the outage."""
        letters = self.accounts.tally.dead_letters
        for letter in letters.values():
            if letter.subscriber and letter.event and letter.event.subject:
                self.deals.end(letter.subscriber, letter.event.subject)
        self.outage.observe(self.deals.ids_waiting_for(INVOICE), self.timeline.elapsed_s)
        self.timeline.observe(self.daemon.dispatching.dispatchers, letters.values())
        if self.outage.drained_after_s is not None:
            self.timeline.add_once(
                f"the ERP has every invoice that waited, {self.outage.drained_after_s:.1f} s after its return"
            )
        for said in filter(None, map(self._said_of_shipment, sorted(self.accounts.poisoned))):
            self.timeline.add_once(f"the opportunity in Salesforce shows the reason: {said}")
        if letters:
            self.timeline.add_once(f"to list dead letters: {self.letters_command}")
        if self.accounts.scenario.has_waited:
            self.timeline.add_once("the org waits, because this machine is too slow for the rate")
        journal = self.receivers[SALES_CHANNEL].journal
        if first := next((each for each in journal if each.accepted), None):
            self.timeline.add_once(f"the first message in Slack: {first.body['text']}")

    @property
    def is_settled(self) -> bool:
        """True when every event has arrived or is a dead letter, and the org shows refused shipments."""
        return self.accounts.report().due == 0 and all(map(self._said_of_shipment, self.accounts.poisoned))

    @property
    def progress(self) -> Hashable:
        """Counts that change while events reach the log or a target, or become dead letters."""
        taken = tuple(each.total() for each in self.accounts.steps.taken.values())
        said = sum(map(bool, map(self._said_of_shipment, self.accounts.poisoned)))
        return (
            self.accounts.scenario.sent,
            self.accounts.tally.appended_ids.total(),
            taken,
            len(self.accounts.tally.dead_letters),
            said,
        )

    def _said_of_shipment(self, record_id: str) -> str:
        return str(self.sandbox.org.retrieve("Opportunity", record_id).get("Shipment_Error__c") or "")


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoOptions:
    """Options of the demo: the rate, and the log in `kafka` (host:port) or in a file in `directory`."""

    per_second: float
    directory: Path
    kafka: str | None = None
    prefix: str = field(default="streamer-demo")


def _say_nothing(_part: str) -> None:
    pass


@asynccontextmanager
async def demo_world(
    options: DemoOptions, clock: Clock, *, said: Callable[[str], None] = _say_nothing
) -> AsyncIterator[World]:
    """Run the world inside the context. The world's org has no changes at the beginning.

    `said` is called with the name of each part before the part starts.

    The context begins once the daemon has subscribed, so that the daemon reads
    every later change. Raises `LogUnavailable` if the daemon still waits for the
    log after 20 s, or has not subscribed after five minutes.
    """
    erp = ErpReceiver(clock).require_oauth("streamer", "demo-secret")
    fulfillment, slack = FulfillmentReceiver(clock), SlackReceiver(clock)
    said("the org and the targets")
    async with Sandbox(clock, pubsub_port=0) as sandbox, erp, fulfillment, slack:
        receivers: dict[SubscriberName, Receiver] = {
            INVOICE: erp,
            SHIPMENT: fulfillment,
            SALES_CHANNEL: slack,
        }
        said("the daemon")
        tally = Tally(clock=clock)
        configuration = _configuration(options, sandbox, erp, fulfillment, slack)
        checked = plan(Document(data=configuration), clock)
        daemon = App.of(checked, clock, options=DaemonOptions(watcher=tally))
        stopping = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            group.create_task(daemon.run(stopping), name="daemon")
            try:
                await _ready(daemon, clock)
                steps = Steps.watched(receivers, sandbox.org)
                yield World(
                    sandbox=sandbox,
                    receivers=receivers,
                    accounts=_accounts(options, sandbox, clock, steps, tally),
                    timeline=Timeline(clock=clock),
                    daemon=daemon,
                    log=f"Kafka at {options.kafka}" if options.kafka else "SQLite",
                )
            finally:
                stopping.set()


def _accounts(options: DemoOptions, sandbox: Sandbox, clock: Clock, steps: Steps, tally: Tally) -> Accounts:
    scenario = Scenario(
        org=sandbox.org,
        clock=clock,
        per_second=options.per_second,
        ended=lambda: len(steps.taken[WRITE_BACK]),
        deals=steps.deals,
    )
    return Accounts(steps=steps, scenario=scenario, tally=tally)


async def _ready(daemon: App, clock: Clock) -> None:
    """Wait until the daemon has subscribed."""
    looks = 0
    while not daemon.status.is_complete:
        if daemon.status.waits and looks * _LOOK_S >= _WAIT_S:
            raise LogUnavailable(f"the demo can't begin: {'; '.join(daemon.status.waits)}")
        if looks * _LOOK_S >= _START_S:
            raise LogUnavailable(
                "the demo can't begin: the daemon did not subscribe to the org's channels within five minutes"
            )
        await clock.sleep(_LOOK_S)
        looks += 1


def _configuration(
    options: DemoOptions,
    sandbox: Sandbox,
    erp: ErpReceiver,
    fulfillment: FulfillmentReceiver,
    slack: SlackReceiver,
) -> dict[str, Any]:
    log = (
        {"kafka": {"bootstrap_servers": options.kafka, "prefix": options.prefix, "allow_plaintext": True}}
        if options.kafka
        else {"sqlite": {"path": str(options.directory / "demo.db")}}
    )
    return {
        "org": {
            "login_url": sandbox.url,
            # Salesforce marks the daemon's own changes with this name.
            "client_name": "streamer-demo",
            "auth": {
                "flow": "client_credentials",
                "client_id": "sandbox",
                "client_secret": "sandbox-secret",
            },
            "pubsub": {"endpoint": f"http://{sandbox.pubsub_address}"},
        },
        "channels": [CHANNEL],
        "log": log,
        "observe": {"host": "localhost", "port": 0},
        "admin": {"port": 0},
        "subscribers": _subscribers(erp, fulfillment, slack),
    }


def _subscribers(erp: ErpReceiver, fulfillment: FulfillmentReceiver, slack: SlackReceiver) -> dict[str, Any]:
    """Return the chain that `BEFORE` defines; each step needs the answer of the preceding step."""
    return {
        INVOICE: _invoice(erp),
        SHIPMENT: {
            "uses": "fulfillment",
            "after": BEFORE[SHIPMENT],
            "body": {"invoice": "receipts.invoice.number"},
            "settings": {"url": fulfillment.url, "order": "subject"},
        },
        WRITE_BACK: {
            "uses": "salesforce",
            "after": BEFORE[WRITE_BACK],
            "body": {
                "Id": "subject",
                "Invoice_Number__c": "receipts.invoice.number",
                "Shipment_Number__c": "receipts.shipment.shipment",
            },
            "settings": {"update": "Opportunity", "id_field": KEY_FIELD},
        },
        # Salesforce also gets the outcome of a sale that a target rejected.
        "refusal": {
            "uses": "salesforce",
            "after": SHIPMENT,
            "on_rejected": "run",
            "when": "receipts.shipment.rejected",
            "body": {"Id": "subject", "Shipment_Error__c": "receipts.shipment.error"},
            "settings": {"update": "Opportunity"},
        },
        SALES_CHANNEL: {
            "uses": "slack",
            "after": BEFORE[SALES_CHANNEL],
            "when": f"data.fields.Amount >= `{BIG_DEAL}`",
            # The event carries only the fields that changed, so the name is looked up.
            "enrich": {"record": {"fields": ["Name"]}},
            "text": "Won: {{ record.Name }}, {{ data.fields.Amount | money }}, "
            "invoice {{ receipts.invoice.number }}, shipment {{ receipts.shipment.shipment }}",
            "settings": {"webhook_url": slack.webhook_url},
        },
    }


def _invoice(erp: ErpReceiver) -> dict[str, Any]:
    return {
        "uses": "erp",
        "on": "salesforce.cdc.Opportunity.updated",
        # A write-back also changes an opportunity, but is not a second sale.
        "when": "data.fields.StageName == 'Closed Won'",
        "body": {"reference": "subject", "amount": "data.fields.Amount"},
        # An outage of ten seconds shows parked keys, an open breaker and the recovery.
        "retry": {"fast_tries": 0, "max_delay_s": 2},
        "breaker": {"minimum": 3, "window": 4, "open_s": 1, "max_open_s": 2},
        "settings": {
            "url": f"{erp.url}/api/invoices",
            "auth": {
                "kind": "oauth2",
                "token_url": f"{erp.url}/oauth/token",
                "client_id": "streamer",
                "client_secret": "demo-secret",
            },
        },
    }
