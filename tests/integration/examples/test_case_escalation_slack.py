"""Case escalation to Slack: one message for each escalation, and none for anything else."""

from pathlib import Path

from streamer.app.plan import plan
from streamer.clock import SystemClock
from streamer.sandbox import Sandbox
from streamer.sandbox.targets import SlackReceiver
from tests.integration.examples.running import Example, bytes_in
from tests.waiting import until

EXAMPLE = Example(name="case-escalation-slack.yaml")
LETTER = "My account number is 12-345-678"


def change_cases(sandbox: Sandbox) -> list[str]:
    """Open three cases, escalate two of them, and change them otherwise; return their ids."""
    org = sandbox.org
    with org.transaction() as transaction:
        first = transaction.create("Case", {"Subject": "No heat", "Priority": "Low", "Description": LETTER})
        urgent = transaction.create("Case", {"Subject": "Gas <smell>", "Priority": "High"})
        other = transaction.create("Case", {"Subject": "Invoice", "IsEscalated": False})
    for fields in ({"IsEscalated": True}, {"Status": "Working"}, {"IsEscalated": False}):
        with org.transaction() as transaction:
            transaction.update("Case", first, fields)
    with org.transaction() as transaction:
        transaction.update("Case", urgent, {"Subject": "Gas"})
    with org.transaction() as transaction:
        transaction.update("Case", other, {"Priority": "High"})
    return [first, urgent, other]


async def test_people_read_of_each_escalation_once(tmp_path: Path) -> None:
    """In the order of the cases' changes; of nothing else, and of nothing that a customer wrote."""
    clock = SystemClock()
    async with Sandbox(clock) as sandbox, SlackReceiver(clock) as slack:
        async with EXAMPLE.running(sandbox, tmp_path, SLACK_WEBHOOK_URL=slack.webhook_url):
            first, _, other = change_cases(sandbox)
            number = str(sandbox.org.retrieve("Case", first).get("CaseNumber"))

            async def came() -> bool:
                return len(slack.messages) >= 3

            await until(came)
        texts = [message["text"] for message in slack.messages]
        stored = bytes_in(tmp_path)
    assert sorted(texts) == sorted(
        [
            f"Case {int(number) + 1:08} has high priority: Gas &lt;smell&gt;",
            f"Case {first} was escalated",
            f"Case {other} has high priority",
        ]
    )
    assert LETTER.encode() not in stored


def test_example_is_valid_as_it_stands() -> None:
    """And names no field that no case can have."""
    environ = {
        "SF_LOGIN_URL": "https://acme.my.salesforce.com",
        "SLACK_WEBHOOK_URL": "https://hooks.slack.com/x",
    }
    checked = plan(EXAMPLE.document(environ), SystemClock())

    assert checked.warnings == ()
    assert EXAMPLE.schema_mistakes() == []
