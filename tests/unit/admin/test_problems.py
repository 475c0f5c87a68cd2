"""The API and the command list what needs a person."""

import json
import re
import shlex

from streamer.admin.problems.findings import ProcessCondition
from streamer.dispatch.admission.circuit_breaker import BreakerLimits
from streamer.events import Hold, Stage, SubscriberName
from tests.contracts.values import a_dead_letter
from tests.unit.admin.world import Asking, World
from tests.unit.dispatch.world import TARGET


async def test_nothing_needs_a_person(ask: Asking) -> None:
    """The list is empty, and the command says so in a sentence."""
    status, body = await ask.get("/problems")
    said = await ask.command("problems")

    assert (status, body) == (200, {"problems": [], "missing": []})
    assert (said.exit_code, said.stdout) == (0, "Nothing needs a person.\n")


async def test_dead_letters_of_one_cause_are_one_entry(world: World, ask: Asking) -> None:
    """With its count, its remedy, and the command that redrives exactly these."""
    await world.fail(1, reason="422: order 1001 is unknown")
    world.clock.jump(60.0)
    await world.fail(2, reason="422: order 1002 is unknown")
    await world.fail(3, reason="400: no name")
    _, body = await ask.get("/problems")
    first, second = sorted(body["problems"], key=lambda each: each["count"])

    assert (first["error"], first["count"]) == ("400: no name", 1)
    # The clock also turns while the events are delivered.
    assert second.pop("since") < second.pop("latest")
    assert second == {
        "kind": "dead_letters",
        "subscriber": TARGET,
        "channel": None,
        "entity": None,
        "reason": "rejected",
        "error": "422: order 1002 is unknown",
        "error_filter": "= 422: order … is unknown",
        "count": 2,
        "can_be_repeated": True,
        "remedy": "Correct the data, the mapping or the target, and then redrive the events.",
        "command": (
            "streamer deadletters redrive --subscriber target --reason rejected "
            "--error '= 422: order … is unknown'"
        ),
    }


async def test_dead_letters_of_a_removed_subscriber_lead_to_their_list(world: World, ask: Asking) -> None:
    """A redrive would be refused, because the subscriber is not configured."""
    letter = a_dead_letter("1:gone", stage=Stage.DISPATCH)
    world.keep(letter, subscriber=SubscriberName("gone"), failed_at=world.clock.now() - 1.0)
    [found] = (await ask.get("/problems"))[1]["problems"]
    said = await ask.command(*shlex.split(found["command"])[1:])

    assert (found["subscriber"], found["can_be_repeated"]) == ("gone", False)
    assert (said.exit_code, "1:gone" in said.stdout) == (0, True), said.stdout


async def test_command_fails_while_something_needs_a_person(world: World, ask: Asking) -> None:
    """So that a script notices; it prints the remedy, or JSON."""
    await world.fail(1, reason="422: no such field")
    said, as_json = await ask.command("problems"), await ask.command("problems", "--json")

    assert said.exit_code == as_json.exit_code == 1
    assert "dead letters  target (rejected), since 2025-01-01 00:00:00Z" in said.stdout
    assert "→ Correct the data" in said.stdout
    assert said.stdout.endswith("1 problem.\n")
    assert json.loads(as_json.stdout)["problems"][0]["count"] == 1


async def test_printed_command_reaches_the_same_daemon(world: World, ask: Asking) -> None:
    """It is typed as it is printed, and then nothing needs a person."""
    await world.fail(1, reason="422: it's 7 wrong")
    await world.fail(2, reason="422")
    said = await ask.command("problems")
    lines = re.findall(r"^  \$ streamer (.*)$", said.stdout, re.MULTILINE)
    for line in lines:
        done = await ask.typed(*shlex.split(line), "--yes", "--no-wait")
        assert done.exit_code == 0, done.output
        await world.carry_out()

    assert len(lines) == 2
    assert (await ask.command("problems")).stdout == "Nothing needs a person.\n"


async def test_dead_letter_that_a_redrive_covers_needs_nobody(world: World, ask: Asking) -> None:
    """Until the redrive ends without it."""
    await world.fail(1)
    _, order = await ask.post("/dead-letters/redrive", by="anna")
    assert (await ask.get("/problems"))[1] == {"problems": [], "missing": []}
    await ask.post(f"/redrives/{order['redrives'][0]}/cancel")

    assert [each["kind"] for each in (await ask.get("/problems"))[1]["problems"]] == ["dead_letters"]


async def test_paused_subscriber_is_a_problem_until_it_is_resumed(ask: Asking) -> None:
    """With who paused it, and why."""
    await ask.post(f"/subscribers/{TARGET}/pause", reason="the ERP is upgraded", by="anna")
    [found] = (await ask.get("/problems"))[1]["problems"]
    await ask.post(f"/subscribers/{TARGET}/resume")

    assert (found["kind"], found["reason"], found["error"]) == ("paused", "anna", "the ERP is upgraded")
    assert found["command"] == f"streamer subscribers resume {TARGET}"
    assert (await ask.get("/problems"))[1] == {"problems": [], "missing": []}


async def test_target_that_is_down_is_a_problem_since_its_first_failure(world: World, ask: Asking) -> None:
    """The number of events that wait for it is the count."""
    world.dispatch.breaker = BreakerLimits(minimum=3, open_s=600.0, max_open_s=600.0)
    async with world.dispatch.running() as dispatcher:
        world.daemon.dispatchers[TARGET] = dispatcher
        world.dispatch.target.down = True
        await world.dispatch.append(*range(3))
        await world.dispatch.quiet()
        found = (await ask.get("/problems"))[1]["problems"]

    [down] = [each for each in found if each["kind"] == "target_down"]
    assert (down["subscriber"], down["count"], down["since"]) == (TARGET, 3, "2025-01-01T00:00:00.000000Z")


async def test_refused_credentials_are_a_problem(world: World, ask: Asking) -> None:
    """With the error of the target."""
    world.dispatch.target.answers["1"].append(Hold(reason="401 bad key", after_s=3600.0, alert=True))
    async with world.dispatch.running() as dispatcher:
        world.daemon.dispatchers[TARGET] = dispatcher
        await world.dispatch.append(1)
        await world.dispatch.quiet()
        found = (await ask.get("/problems"))[1]["problems"]

    assert [(each["kind"], each["error"]) for each in found] == [("held", "401 bad key")]


async def test_log_that_can_not_be_read_is_a_problem(world: World, ask: Asking) -> None:
    """The list still names what this process knows by itself."""
    world.context.views.condition = lambda: ProcessCondition(blocked_plugins={TARGET: "no certificate"})
    world.log.faults.down = True
    status, body = await ask.get("/problems")

    assert status == 200
    assert {each["kind"] for each in body["problems"]} == {"process_waits", "plugin_not_open"}
