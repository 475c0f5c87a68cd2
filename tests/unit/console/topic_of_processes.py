"""Reports as they stand in the topic of the processes, and all that an operator sees of them."""

import json
from typing import Any

import pytest

from streamer.errors import LogMisconfigured
from streamer.log.records import decode_process_record
from tests.unit.admin.processes.others import CALM, a_key, failing
from tests.unit.console.test_several_processes import PAGES, words
from tests.unit.console.world import Browser, World
from tests.unit.dispatch.world import TARGET

ANSWERS = ("/flow", "/subscribers", "/parked", "/problems")
MOST_CHARACTERS = 300_000
CHANNEL = "/data/ChangeEvents"
STATE: dict[str, Any] = {
    "subscribers": {
        TARGET: {
            "state": "target down",
            "blocked": "",
            "per_second": 2.5,
            "here": CALM
            | {
                "lag": 3,
                "breaker": "open",
                "down_since": "2025-01-01T10:00:00Z",
                "failing": failing("10:00:00", "10:05:00"),
                "next_try": "2025-01-01T10:06:00Z",
            },
        }
    },
    "channels": {
        CHANNEL: {
            "word": "stopped",
            "level": "bad",
            "reason": "refused",
            "since": 1.0,
            "per_second": 12.0,
            "verified_at": 1.0,
        }
    },
    "parked_keys": {TARGET: 1},
    "parked": [a_key("0015g00000AAAAA", "10:00:00")],
    "problems": [
        {
            "kind": "target_down",
            "reason": "",
            "error": "answered 503",
            "subscriber": TARGET,
            "channel": None,
            "entity": None,
            "records": [],
            "since": 1.0,
            "latest": 2.0,
            "count": 2,
            "can_be_repeated": True,
        }
    ],
    "counts": {"events": 700.0},
}


def read_from_topic(world: World, name: str, body: Any, *, age_s: float = 0.0, kind: str = "state") -> bool:
    """Let a record stand in the topic as text; return whether the log takes it as a record."""
    at = world.api.clock.now() - age_s
    fields = {
        "v": 1,
        "process": name,
        "instance": f"instance of {name}",
        "kind": kind,
        "at": at,
        "body": body,
    }
    # Infinity is no JSON. But many readers take 1e999, and read infinity.
    raw = json.dumps(fields).replace("Infinity", "1e999")
    try:
        world.api.log.processes.records.append(decode_process_record(raw))
    except LogMisconfigured:
        return False
    return True


async def answers(browser: Browser) -> dict[str, Any]:
    """Return the answers of the API, all of them in strict JSON and of some size."""
    found = {}
    for path in ANSWERS:
        async with browser.client.get(path) as answer:
            text = await answer.text()
        assert answer.status == 200, f"{path}: {text[:500]}"
        assert len(text) < MOST_CHARACTERS, path
        found[path] = json.loads(text, parse_constant=pytest.fail)
    return found


async def pages(browser: Browser) -> dict[str, str]:
    """Return the pages: each is small and whole, and no other process writes HTML into it."""
    found = {}
    for path in PAGES:
        answer = await browser.get(path)
        assert answer.status == 200, f"{path}: {answer.text[:500]}"
        assert len(answer.text) < MOST_CHARACTERS, path
        assert "<script>alert" not in answer.text, path
        assert not {"nan", "inf", "nan/s", "inf/s", "-3"} & set(words(answer.text).split()), path
        found[path] = answer.text
    return found


async def subscriber(browser: Browser) -> Any:
    """Return the first subscriber of the API."""
    return (await answers(browser))["/subscribers"]["subscribers"][0]
