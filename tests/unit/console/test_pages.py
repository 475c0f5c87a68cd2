"""Pages show what happens, escape all of it, and hide secrets."""

import asyncio
import re
from typing import Any

import pytest

from streamer.clock import TurnedClock
from streamer.console.access import security_headers
from streamer.console.rendering import Renderer, breakable, moment, sentence
from streamer.console.samples import NOTHING
from streamer.events import SubscriberName
from streamer.flow.labels import OrgLabel
from streamer.observe.durations import duration
from streamer.settings import AdminSettings
from tests.unit.console.world import Browser, World
from tests.unit.dispatch.world import TARGET
from tests.waiting import awaited

EVIL = "<script>alert('x')</script>"
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl"
OUR_SCRIPT = r'<script src="/console/static/\w+\.js" defer></script>'
PAGES = (
    "",
    "/",
    "/charts",
    "/channels",
    "/subscribers",
    f"/subscribers/{TARGET}",
    "/events",
    "/tail",
    "/search",
    "/glossary",
    "/problems",
    "/dead-letters",
    "/dead-letters/redrive",
    "/dead-letters/discard",
    "/redrives",
    "/parked",
    "/continuity",
    "/snapshots",
    "/configuration",
    "/audit",
    "/sign-in",
)


def test_path_breaks_at_its_dots_and_slashes() -> None:
    """A long run breaks too, or it would be wider than a phone; everything else stays as it is."""
    assert breakable("salesforce.cdc.X/0") == "salesforce.<wbr>cdc.<wbr>X/<wbr>0"
    assert breakable("001000000000002AAA") == "001000000000002AAA"
    assert breakable("x" * 45).count("<wbr>") == 2
    assert breakable("<b>.") == "&lt;b&gt;."
    assert JWT not in breakable(f"a/{JWT}").replace("<wbr>", "")


async def test_every_answer_has_the_headers_of_security(browser: Browser) -> None:
    """Errors, redirects and files too."""
    for path in (*PAGES, "/none", "/static/console.js", "/static/none"):
        answer = await browser.get(path)
        assert dict(security_headers(())).items() <= dict(answer.headers).items(), path
    redirect = await browser.sign_in()
    assert dict(security_headers(())).items() <= dict(redirect.headers).items()


def test_policy_allows_files_of_the_console_alone() -> None:
    """And no frame, unless a site is named."""
    policy = security_headers(())["Content-Security-Policy"].split("; ")

    assert {"default-src 'none'", "script-src 'self'", "base-uri 'none'", "frame-ancestors 'none'"} <= set(
        policy
    )
    assert not any("unsafe" in each or "*" in each or "http" in each for each in policy)
    framed = security_headers(["https://a.example", "https://*.b.example:8443"])
    assert framed["Content-Security-Policy"].endswith(
        "; frame-ancestors https://a.example https://*.b.example:8443"
    )
    assert "X-Frame-Options" not in framed


@pytest.mark.parametrize(
    "console",
    [
        {"frame_ancestors": ["https://a.example; script-src *"]},
        {"frame_ancestors": ["http://a.example"]},
        {"frame_ancestors": ["*"]},
        {"trusted_header": "Authorization"},
        {"trusted_header": "X-User: admin"},
        {"session_s": 0},
    ],
)
def test_setting_that_would_open_the_console_is_refused(console: dict[str, object]) -> None:
    """Before it is served."""
    with pytest.raises(ValueError, match="console"):
        AdminSettings.model_validate({"token": "x" * 16, "console": console})


def test_name_from_a_proxy_needs_a_token() -> None:
    """Otherwise everybody could give any name."""
    with pytest.raises(ValueError, match="set token, and let the proxy"):
        AdminSettings.model_validate({"console": {"trusted_header": "X-Auth-User"}})


async def test_page_has_no_script_style_or_event_of_its_own(world: World, browser: Browser) -> None:
    """The policy would stop them, and the page would not work."""
    await world.api.fail(1)
    for path in PAGES:
        text = (await browser.get(path)).text
        assert "<style" not in text
        assert " style=" not in text
        assert not re.search(r"<[^>]* on\w+=", text)
        scripts = 3 if path == "/tail" else 2
        assert text.count("<script") == len(re.findall(OUR_SCRIPT, text)) == scripts


async def test_what_comes_from_outside_is_escaped_and_masked(world: World, browser: Browser) -> None:
    """Keys and errors of events, names of operators, filters of the address."""
    await world.api.fail(1, key=EVIL, reason=f"{EVIL} {JWT}")
    csrf = await browser.signed_in(EVIL)
    await browser.post(f"/subscribers/{TARGET}/pause", {"csrf": csrf, "reason": EVIL})
    paths = [f"{path}?key={EVIL}&error={EVIL}&done={EVIL}" for path in PAGES if path]
    for path in (*PAGES, *paths, "/dead-letters/letter?id=1:target", f"/dead-letters/letter?id={EVIL}"):
        text = (await browser.get(path)).text
        assert "<script>alert" not in text, path
        assert JWT not in text, path
    assert "&lt;script&gt;" in (await browser.get("/dead-letters/letter?id=1:target")).text


async def test_test_event_shows_its_outcome(world: World, browser: Browser) -> None:
    """With the data that the operator gave."""
    csrf = await browser.signed_in()
    answer = await browser.post(f"/subscribers/{TARGET}/test", {"csrf": csrf, "data": '{"fields": {"x": 1}}'})

    assert (answer.status, "Outcome of the test" in answer.text) == (200, True)
    assert [each.event.data for each in world.api.tried.deliveries] == [{"fields": {"x": 1}, "test": True}]


@pytest.mark.parametrize("data", ["[", "[]", "1", "[" * 20_000])
async def test_test_event_with_mistaken_data_is_not_sent(world: World, browser: Browser, data: str) -> None:
    """The sentence says what is expected."""
    csrf = await browser.signed_in()
    answer = await browser.post(f"/subscribers/{TARGET}/test", {"csrf": csrf, "data": data})

    assert (answer.status, "must be" in answer.text, world.api.tried.deliveries) == (400, True, [])


async def test_discard_covers_what_its_preview_counted(world: World, browser: Browser) -> None:
    """And no letter that failed afterwards."""
    await world.api.fail(1, 2)
    csrf = await browser.signed_in()
    preview = await browser.get("/dead-letters/discard?subscriber=target")
    until = preview.text.partition('name="until" value="')[2].partition('"')[0]
    await world.api.clock.turn(5)
    await world.api.fail(3)
    await browser.post("/dead-letters/discard", {"csrf": csrf, "subscriber": "target", "until": until})
    left = await browser.get("/dead-letters")

    assert "Discard 2 letters" in preview.text
    assert "1 dead letter:" in left.text


async def test_redrive_is_previewed_and_ordered(world: World, browser: Browser) -> None:
    """At the rate of the form, for the chosen letters alone."""
    await world.api.fail(1, 2)
    csrf = await browser.signed_in()
    preview = await browser.get("/dead-letters/redrive?ids=1:target")
    form = {"csrf": csrf, "ids": "1:target", "per_second": "0.5"}
    answer = await browser.post("/dead-letters/redrive", form)
    [order] = (await world.api.context.control_state()).redrives.values()

    assert "Redrive 1 letter" in preview.text
    assert (answer.place, order.per_second, order.letters.ids) == (
        "/console/redrives?done=ordered",
        0.5,
        frozenset({"1:target"}),
    )
    assert order.id in (await browser.get("/redrives")).text


@pytest.mark.parametrize("what", ["redrive", "discard"])
async def test_reader_who_has_not_signed_in_sees_a_preview(browser: Browser, what: str) -> None:
    """And the link that leads back to it."""
    answer = await browser.get(f"/dead-letters/{what}?key=a+b&ids=1&ids=2")

    assert answer.status == 200
    assert f"next=/console/dead-letters/{what}%3Fkey%3Da%2Bb%26ids%3D1%26ids%3D2" in answer.text


async def test_page_of_a_subscriber_opens_with_its_last_hour(world: World, browser: Browser) -> None:
    """It shows what the subscriber selects, and which subscribers come before and after it."""
    settings = world.api.daemon.plan.settings
    target, idle = settings.subscribers[TARGET], settings.subscribers[SubscriberName("idle")]
    world.api.daemon.plan.settings = settings.model_copy(
        update={
            "subscribers": {
                TARGET: target.model_copy(update={"when": "data.fields.Amount > `1000`"}),
                SubscriberName("idle"): idle.model_copy(update={"after": (TARGET,)}),
            }
        }
    )
    async with world.api.dispatch.running() as dispatcher:
        world.api.daemon.dispatchers[TARGET] = dispatcher
        page, later = await browser.get(f"/subscribers/{TARGET}"), await browser.get("/subscribers/idle")
        listed = await browser.get("/subscribers")

    assert page.text.index("The last hour") < page.text.index("<dt>Plugin</dt>")
    assert "<code>data.fields.Amount &gt; `1000`</code>" in page.text
    assert '<a href="/console/subscribers/idle">idle</a>, which comes after this subscriber' in page.text
    assert f'<dt>After</dt><dd><a href="/console/subscribers/{TARGET}">' in later.text
    assert "The last hour" not in later.text
    assert "0 deliveries in the last hour" in listed.text


async def test_log_that_is_away_leaves_the_map(world: World, browser: Browser) -> None:
    """An operator looks there first; other pages say why they are empty."""
    world.api.log.faults.down = True
    flow, channels = await browser.get(""), await browser.get("/channels")

    assert (flow.status, channels.status) == (200, 200)
    assert (await browser.get("/audit")).status == 503
    world.api.context._log = None
    for answer in (await browser.get(""), await browser.get("/channels")):
        assert (answer.status, "The log is not open" in answer.text) == (200, True)


async def test_holes_are_read_once_for_many_pages(
    world: World, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pages refresh every ten seconds, and each reading costs a consumer in Kafka."""
    controls, read = world.api.log.controls, list[float]()
    continuity = controls.continuity

    async def counted(*chosen: Any, **last: Any) -> Any:
        read.append(world.api.clock.now())
        return await continuity(*chosen, **last)

    monkeypatch.setattr(controls, "continuity", counted)
    await asyncio.gather(*(browser.get(path) for path in ("", "/channels", "")))
    await world.api.clock.turn(29)
    await browser.get("")
    assert len(read) == 1
    await world.api.clock.turn(2)
    await browser.get("")
    assert len(read) == 2


async def test_log_that_does_not_answer_holds_no_page_up(
    world: World, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The map is there for the time when something is wrong."""
    asked = asyncio.Event()

    async def silent(*_: Any, **__: Any) -> Any:
        asked.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(world.api.log.controls, "continuity", silent)
    page = asyncio.create_task(browser.get(""))
    await awaited(asked.wait())
    await world.api.clock.turn(6)

    assert "longer than 5 s" in (await page).text


async def test_mistake_of_our_own_is_not_shown(browser: Browser) -> None:
    """Its text could hold a secret."""

    def broken() -> str:
        raise ZeroDivisionError("canary")

    object.__setattr__(browser.context, "configuration", broken)
    answer = await browser.get("/configuration")

    assert (answer.status, "canary" in answer.text) == (500, False)
    assert "Internal error" in answer.text


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/subscribers/none", 404),
        ("/dead-letters/letter", 404),
        ("/dead-letters?last=0", 400),
        ("/continuity?state=odd", 400),
        ("/parked?subscriber=none", 404),
        (f"/subscribers/{TARGET}/pause", 405),
    ],
)
async def test_mistake_in_an_address_is_told(browser: Browser, path: str, status: int) -> None:
    """In a page, with its status."""
    answer = await browser.get(path)

    assert (answer.status, answer.headers["Content-Type"]) == (status, "text/html; charset=utf-8")


def test_moments_and_durations_are_readable() -> None:
    """In UTC, in the unit that fits."""
    renderer = Renderer(clock=TurnedClock(), org=lambda: OrgLabel.of("https://acme.my.salesforce.com"))

    assert [duration(each) for each in (0, 119, 120, 7_199, 7_200, 172_800)] == [
        *("0 s", "119 s", "2 min", "120 min", "2 h", "2 d"),
    ]
    assert moment("2025-01-01T01:02:03+01:00") == (
        '<time datetime="2025-01-01T00:02:03+00:00">2025-01-01 00:02:03 UTC</time>'
    )
    assert moment(None) == NOTHING
    assert renderer._ago("2024-12-31T23:59:00Z") == "60 s ago"
    assert renderer._ahead(1_735_689_600.0 + 7_200) == "in 2 h"


def test_commands_in_a_sentence_are_code() -> None:
    """They are escaped and masked like all texts; single backticks stay."""
    assert sentence(f"Try `streamer <b> {JWT}` now.") == "Try <code>streamer &lt;b&gt; ***</code> now."
    assert sentence("It's <i>`</i>.") == "It&#39;s &lt;i&gt;`&lt;/i&gt;."


@pytest.mark.parametrize(
    "target",
    [
        b"/console/dead-letters?key=%FF&error=%ED%A0%80",
        b"/console/subscribers/%FF",
        b"/console/\xff\xfe",
        b"/console/dead-letters?key=\xff",
        b"/console/dead-letters/letter?id=%00",
        b"/console/static/%2e%2e%2ftemplates%2fbase.html",
        b"/console/static/../templates/base.html",
    ],
)
@pytest.mark.parametrize("host", [b"localhost:PORT", b"[", b"a:99999999", b"\xff"])
async def test_bytes_of_an_address_are_no_mistake_of_ours(target: bytes, host: bytes) -> None:
    """They are answered with a page and a status of the sender's, in whatever encoding they are."""
    async with World(admin={"token": "x" * 16}).opened() as browser:
        await browser.signed_in(token="x" * 16)
        [kept] = browser.client.session.cookie_jar
        cookie = f"Cookie: {kept.key}={kept.value}".encode()
        host = host.replace(b"PORT", str(browser.client.port).encode())
        reader, writer = await asyncio.open_connection("127.0.0.1", browser.client.port)
        writer.write(b"GET " + target + b" HTTP/1.1\r\nHost: " + host + b"\r\n" + cookie)
        writer.write(b"\r\nConnection: close\r\n\r\n")
        answer = await reader.read()
        writer.close()

    assert int(answer.split()[1]) in {200, 303, 400, 403, 404}, answer[:200]
    assert b"{% block" not in answer
