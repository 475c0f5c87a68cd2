"""The examples' requests for an update of one field, for a cleared field, and for a deletion."""

import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from streamer.app.plan import Plan, plan
from streamer.clock import TurnedClock
from streamer.configuration import load_document
from streamer.dispatch.delivery.route import Route, RouteSource, compile_route
from streamer.events import Delivered, Event, SubscriberName
from streamer.log.patterns import wants
from streamer.normalise import normaliser_for
from streamer.sandbox.targets import ErpReceiver, FulfillmentReceiver, SlackReceiver
from subscribers.slack import Slack
from tests.deliveries import context
from tests.integration.guides.pages import ROOT, block, page
from tests.keys import private_key_pem
from tests.messages import CHANGES, change, events_of
from tests.unit.dispatch.world import mistaken

READ = normaliser_for(CHANGES)
OPPORTUNITY = "006000000000001AAA"
WON = {"StageName": "Closed Won"}
HELD = {"name": "Acme renewal", "stage": "Negotiation", "amount": 500}
EXAMPLES = {
    "README.md": block(page("README.md"), "yaml"),
    **{
        name: page(name)
        for name in (
            "config/streamer.yaml",
            "k8s/base/streamer.yaml",
            "k8s/overlays/embedded/streamer.yaml",
            "k8s/overlays/outbound/streamer.yaml",
        )
    },
}
GUIDES = page("docs/fields.md") + page("docs/targets.md")
GUIDE_BODIES = re.findall(r"^```yaml\n(body:[^`]*)^```", GUIDES, flags=re.MULTILINE)
ENVIRONMENT = dict.fromkeys(
    (
        "SF_CLIENT_ID",
        "SF_CLIENT_SECRET",
        "KAFKA_PASSWORD",
        "ERP_CLIENT_SECRET",
        "FULFILLMENT_API_KEY",
    ),
    "invented",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Targets:
    """The targets of the examples, on this machine; the ERP holds a document of the opportunity."""

    folder: Path
    erp: ErpReceiver
    fulfillment: FulfillmentReceiver
    slack: SlackReceiver

    def planned(self, example: str) -> Plan:
        """Return the plan of `example`, which delivers to these targets."""
        webhook = self.slack.webhook_url
        text = EXAMPLES[example].replace("https://erp.acme.com", self.erp.url)
        text = text.replace("https://fulfillment.acme.com/v1", self.fulfillment.url)
        text = text.replace("{file: /run/secrets/streamer/slack-webhook-url}", webhook)
        text = text.replace("{file: /run/secrets/streamer/", "{file: secrets/")
        path = self.folder / "streamer.yaml"
        path.write_text(text)
        (self.folder / "secrets").mkdir()
        for secret in ("salesforce-client-id", "salesforce.pem", "kafka-password"):
            (self.folder / "secrets" / secret).write_text(private_key_pem())
        (self.folder / "secrets" / "outbound-leads").write_text("an-invented-secret")
        environment = ENVIRONMENT | {"SLACK_WEBHOOK_URL": webhook, "SF_PRIVATE_KEY": private_key_pem()}
        return plan(load_document([path], environment), TurnedClock())

    async def reached(self, example: str, event: Event, **records: Any) -> dict[str, str]:
        """Deliver `event` as `example` does, and return the outcome of each subscriber that it concerns.

        `records` are the records that `enrich` finds, by their names.
        """
        planned = self.planned(example)
        outcomes: dict[str, str] = {}
        async with AsyncExitStack() as opened:
            for name, settings in planned.settings.subscribers.items():
                route = planned.routes[name]
                if not wants(settings.on)(event.type) or not route.admits(event):
                    continue
                subscriber = await opened.enter_async_context(planned.subscribers[name]())
                outcome = await subscriber.deliver(route.delivery(event, attempt=1, more=records))
                outcomes[str(name)] = type(outcome).__name__
        return outcomes

    @property
    def document(self) -> Any:
        """The ERP's document of the opportunity."""
        stored = self.erp.documents.get(("opportunities", OPPORTUNITY))
        return stored and stored["document"]

    @property
    def messages(self) -> list[str]:
        """The texts in Slack."""
        return [message["text"] for message in self.slack.messages]


@pytest.fixture
async def targets(tmp_path: Path) -> AsyncIterator[Targets]:
    """Run the targets."""
    clock = TurnedClock()
    erp = ErpReceiver(clock).require_oauth("streamer", "invented")
    erp.documents["opportunities", OPPORTUNITY] = {"number": "OPP-1", "version": 1, "document": dict(HELD)}
    async with erp, FulfillmentReceiver(clock) as fulfillment, SlackReceiver(clock) as slack:
        yield Targets(folder=tmp_path, erp=erp, fulfillment=fulfillment, slack=slack)


def opportunity(kind: str = "UPDATE", **fields: Any) -> Event:
    """Return the event of a change to the opportunity."""
    (event,) = events_of(READ, change(1, OPPORTUNITY, kind=kind, entity="Opportunity", **fields))
    return event


@pytest.mark.parametrize(
    ("event", "held"),
    [
        (opportunity(Amount=900), HELD | {"amount": 900}),
        (opportunity(Amount=None), HELD | {"amount": None}),
        (opportunity(Probability=90), HELD),
        (opportunity("DELETE"), None),
    ],
)
async def test_erp_holds_what_the_record_holds(targets: Targets, event: Event, held: Any) -> None:
    """A field that did not change stays; one that was cleared, and a deleted record, are gone."""
    await targets.reached("config/streamer.yaml", event)

    assert targets.document == held


@pytest.mark.parametrize("example", EXAMPLES)
@pytest.mark.parametrize(
    ("event", "amount", "held"),
    [
        (opportunity(**WON), "amount unchanged", 500),
        (opportunity(**WON, Amount=None), "", None),
        (opportunity(**WON, Amount=900), "900.00", 900),
    ],
)
async def test_people_read_of_every_won_opportunity(
    targets: Targets, example: str, event: Event, amount: str, held: int | None
) -> None:
    """People read of it with and without an amount in the update; the README's example reads the record."""
    outcomes = await targets.reached(example, event, record={"Name": "Acme renewal", "Amount": held})

    with_amount = f"Won: {OPPORTUNITY}, {amount}".rstrip(" ")
    expected = f"Won: {OPPORTUNITY}" if example.startswith("k8s") else with_amount
    if example == "README.md":
        expected = f"Won: Acme renewal, {held or 0}.00"
    assert outcomes["sales-channel"] == Delivered.__name__
    assert [text.rstrip(" ") for text in targets.messages] == [expected]


@pytest.mark.parametrize("example", EXAMPLES)
@pytest.mark.parametrize("event", [opportunity(Amount=900), opportunity(Amount=None), opportunity("DELETE")])
async def test_other_changes_are_no_message(targets: Targets, example: str, event: Event) -> None:
    """`when` does not hold for a stage that the event does not carry."""
    outcomes = await targets.reached(example, event)

    assert "sales-channel" not in outcomes
    assert targets.messages == []


@pytest.mark.parametrize(
    ("event", "body"),
    [
        (opportunity(Amount=900), {"amount": 900}),
        (opportunity(Probability=90), {}),
        (opportunity(Amount=None, BillingAddress=None), {"amount": None, "city": None}),
        (opportunity("DELETE"), {}),
    ],
)
def test_guide_says_what_a_body_sends(event: Event, body: dict[str, Any]) -> None:
    """Each line of its example has its comment's meaning."""
    route = guide_route(GUIDE_BODIES[0])

    sent = {"opportunity": OPPORTUNITY, "owner": "nobody", "note": None, **body}
    assert route.delivery(event, attempt=1).body == sent


async def test_guide_shows_blocks_that_slack_takes(targets: Targets) -> None:
    """A record's name in them is text, whatever it holds."""
    read = Slack.Settings.model_validate({"webhook_url": targets.slack.webhook_url})
    route = guide_route(GUIDE_BODIES[1])
    async with Slack(read, context(TurnedClock())) as slack:
        outcome = await slack.deliver(route.delivery(opportunity(Name="<!channel>"), attempt=1))

    assert isinstance(outcome, Delivered)
    assert [block["text"]["text"] for block in targets.slack.messages[0]["blocks"]] == [
        "<!here> *a new order*",
        "&lt;!channel&gt;",
    ]


def guide_route(written: str) -> Route:
    """Return the route of an example in the guide."""
    return compile_route(SubscriberName("guide"), RouteSource(**yaml.safe_load(written)), mistake=mistaken)


def test_every_configuration_in_the_repository_is_tried() -> None:
    """Those that a person would copy."""
    # The sandbox's schema does not configure Streamer; the sandbox's tests try it.
    found = [*ROOT.glob("config/streamer*.yaml"), *ROOT.glob("k8s/**/streamer.yaml")]

    assert {str(path.relative_to(ROOT)) for path in found} == set(EXAMPLES) - {"README.md"}
