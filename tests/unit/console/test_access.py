"""Only an operator who has signed in changes something, and only by a form of the console."""

from typing import Any

import pytest
from structlog.testing import capture_logs

from streamer.clock import TurnedClock
from streamer.console.access import MOST_SESSIONS, ConsoleSessions
from tests.unit.console.world import Browser, World
from tests.unit.dispatch.world import TARGET

TOKEN = "canary-token-of-the-admin-api"
PAUSE = f"/subscribers/{TARGET}/pause"
READ = ("", "/subscribers", "/dead-letters", "/configuration", "/audit", "/none")


async def controls(world: World) -> Any:
    """Return what is switched."""
    return (await world.api.context.control_state()).controls


async def test_reader_on_this_machine_needs_no_session(browser: Browser) -> None:
    """As the API needs no token there."""
    for path in READ:
        assert (await browser.get(path)).status == (404 if path == "/none" else 200)


@pytest.mark.parametrize("path", [*READ, "/static/console.css"])
@pytest.mark.parametrize("host", ["attacker.example", "localhost.attacker.example:9465", "10.0.0.1", ""])
async def test_page_that_renames_itself_to_this_machine_sees_nothing(
    browser: Browser, path: str, host: str
) -> None:
    """DNS rebinding leaves the attacker's name in the Host header."""
    assert (await browser.get(path, Host=host)).status == 403


@pytest.mark.parametrize(
    ("mode", "dest", "status", "status_of_framed"),
    [
        ("no-cors", "image", 403, 403),
        ("cors", "empty", 403, 403),
        ("navigate", "iframe", 403, 200),
        ("navigate", "document", 200, 200),
    ],
)
async def test_other_site_leads_to_the_console_and_loads_nothing_of_it(
    browser: Browser, mode: str, dest: str, status: int, status_of_framed: int
) -> None:
    """A link works; what a page asks for by itself would only keep the daemon busy."""
    headers = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": mode, "Sec-Fetch-Dest": dest}
    assert (await browser.get("/dead-letters", **headers)).status == status
    framed = {"console": {"frame_ancestors": ["https://acme.lightning.force.com"]}}
    async with World(admin=framed).opened() as other:
        assert (await other.get("/dead-letters", **headers)).status == status_of_framed


async def test_nothing_is_shown_without_the_token() -> None:
    """But the form to sign in, which leads back, and what it loads."""
    async with World(admin={"token": TOKEN}).opened() as browser:
        for path in READ:
            answer = await browser.get(path)
            assert (answer.status, answer.place) == (
                303,
                f"/console/sign-in?next=%2Fconsole{path.replace('/', '%2F')}",
            )
        assert (await browser.get("/sign-in")).status == 200
        assert (await browser.get("/static/console.js")).status == 200
        # The API's token does not open a session.
        assert (await browser.get("/audit", Authorization=f"Bearer {TOKEN}")).status == 303


async def test_session_is_not_the_token_and_scripts_cannot_read_it() -> None:
    """Another site's request does not carry it."""
    async with World(admin={"token": TOKEN}).opened() as browser:
        answer = await browser.sign_in(token=TOKEN, next="/console/audit?last=5")
        cookie = answer.headers["Set-Cookie"]

        assert (answer.status, answer.place) == (303, "/console/audit?last=5")
        assert {"HttpOnly", "SameSite=Strict", "Path=/console"} <= set(cookie.split("; "))
        assert TOKEN not in cookie
        assert (await browser.get("/audit")).status == 200


async def test_cookie_behind_tls_and_in_a_frame_is_for_https_alone() -> None:
    """A browser sends no strict cookie in a frame of another site."""
    framed = {"token": TOKEN, "console": {"frame_ancestors": ["https://acme.lightning.force.com"]}}
    async with World(admin={"token": TOKEN}).opened() as browser:
        behind = await browser.post(
            "/sign-in", {"name": "Anna", "token": TOKEN}, **{"X-Forwarded-Proto": "https"}
        )
    async with World(admin=framed).opened() as browser:
        embedded = await browser.sign_in(token=TOKEN)

    assert {"SameSite=Strict", "Secure"} <= set(behind.headers["Set-Cookie"].split("; "))
    assert {"SameSite=None", "Secure", "Partitioned"} <= set(embedded.headers["Set-Cookie"].split("; "))


@pytest.mark.parametrize("shown", ["", "wrong", f"{TOKEN} ", "ünlautet", "\udcff"])
async def test_wrong_token_begins_no_session(shown: str) -> None:
    """And is neither shown nor logged."""
    async with World(admin={"token": TOKEN}).opened() as browser:
        with capture_logs() as logs:
            form = {"name": "Anna", "token": shown.encode("utf-8", "replace").decode()}
            answer = await browser.post("/sign-in", form)

    assert (answer.status, "Set-Cookie" in answer.headers) == (403, False)
    assert [each["event"] for each in logs] == ["admin.token_refused"]
    assert not shown or shown not in answer.text.replace('value=""', "") or shown == "wrong "


@pytest.mark.parametrize(
    "wanted",
    ["https://attacker.example", "//attacker.example", "/consoles", "/console\\x", "/", "/console/sign-in"],
)
async def test_sign_in_leads_to_no_other_site(browser: Browser, wanted: str) -> None:
    """Whatever a link to it says."""
    assert (await browser.sign_in(next=wanted)).place == "/console"


@pytest.mark.parametrize("name", ["", " ", "x" * 101, "Anna\nMaria", "\x00"])
async def test_operator_needs_a_name_that_the_audit_can_hold(browser: Browser, name: str) -> None:
    """Every change tells who made it."""
    assert (await browser.sign_in(name)).status == 400


async def test_change_is_made_and_audited_under_the_name(world: World, browser: Browser) -> None:
    """The one that was given at the sign-in, whatever the form says."""
    csrf = await browser.signed_in("Anna")
    answer = await browser.post(PAUSE, {"csrf": csrf, "reason": "moving", "by": "Bert"})
    [record] = await world.api.log.controls.audit(last=5)

    assert (answer.status, answer.place) == (303, f"/console/subscribers/{TARGET}?done=paused")
    assert (record.what, record.by, record.detail) == ("subscriber.paused", "Anna", {"reason": "moving"})


async def test_change_needs_a_session_and_the_token_of_its_form(world: World, browser: Browser) -> None:
    """On this machine too, and a session of its own."""
    without = await browser.post(PAUSE, {"csrf": ""})
    other = await browser.signed_in("Bert")
    own = await browser.signed_in("Anna")
    answers = [without, *[await browser.post(PAUSE, {"csrf": each}) for each in ("", "x", other, own + "x")]]
    nothing = await browser.post(PAUSE, {})

    assert [each.status for each in (*answers, nothing)] == [403] * 6
    assert not await controls(world)


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://attacker.example"},
        {"Origin": "null"},
        {"Origin": ""},
        {"Origin": "file://localhost"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
async def test_form_of_another_site_changes_nothing(
    world: World, browser: Browser, headers: dict[str, str]
) -> None:
    """Even with the token, and it begins no session either."""
    csrf = await browser.signed_in()
    changed = await browser.post(PAUSE, {"csrf": csrf}, **headers)
    signed_in = await browser.post("/sign-in", {"name": "Anna"}, **headers)

    assert (changed.status, signed_in.status) == (403, 403)
    assert not await controls(world)


@pytest.mark.parametrize("kind", ["application/json", "text/plain", "multipart/form-data; boundary=x", ""])
async def test_only_a_form_changes_something(world: World, browser: Browser, kind: str) -> None:
    """Other requests of a page do not come from the console."""
    csrf = await browser.signed_in()
    headers = {"Origin": browser.origin, "Content-Type": kind}
    answer = await browser.send("POST", PAUSE, data=f"csrf={csrf}".encode(), headers=headers)

    assert answer.status == 415
    assert not await controls(world)


@pytest.mark.parametrize("raw", [b"\xff", b"&".join([b"a=1"] * 2_001), b"x" * 70_000])
async def test_form_that_can_not_be_read_is_refused(browser: Browser, raw: bytes) -> None:
    """Before any of it counts."""
    await browser.signed_in()
    headers = {"Origin": browser.origin, "Content-Type": "application/x-www-form-urlencoded"}
    answer = await browser.send("POST", PAUSE, data=raw, headers=headers)

    assert answer.status in {400, 413}


async def test_session_ends_in_time_and_by_signing_out(world: World, browser: Browser) -> None:
    """A cookie that is kept is of no use any more."""
    csrf = await browser.signed_in()
    [kept] = browser.client.session.cookie_jar
    cookie = {"Cookie": f"{kept.key}={kept.value}"}
    await browser.post("/sign-out", {"csrf": csrf})
    after_sign_out = await browser.post(PAUSE, {"csrf": csrf}, **cookie)
    csrf = await browser.signed_in()
    await world.api.clock.turn(28_801)
    after_its_time = await browser.post(PAUSE, {"csrf": csrf})

    assert (after_sign_out.status, after_its_time.status) == (403, 403)


async def test_sessions_are_bounded() -> None:
    """The one that was used longest ago makes room."""
    clock = TurnedClock()
    sessions = ConsoleSessions(clock=clock, lifetime_s=28_800.0)
    ids = [sessions.begin(str(number)) for number in range(MOST_SESSIONS)]
    await clock.turn(1)
    assert sessions.find(ids[0])
    another = sessions.begin("another")

    assert len(sessions) == MOST_SESSIONS
    assert sessions.find(ids[0])
    assert sessions.find(ids[1]) is None
    assert sessions.find(another)


async def test_proxy_names_the_operator() -> None:
    """With the token that only it has; the form then holds a token for that operator alone."""
    world = World(admin={"token": TOKEN, "console": {"trusted_header": "X-Auth-User"}})
    async with world.opened() as browser:
        proxied = {"Authorization": f"Bearer {TOKEN}", "X-Auth-User": "anna@acme.example"}
        page = await browser.get("/subscribers/target", **proxied)
        changed = await browser.post(PAUSE, {"csrf": page.csrf}, **proxied)
        another = await browser.post(PAUSE, {"csrf": page.csrf}, **{**proxied, "X-Auth-User": "bert"})
        [record] = await world.api.log.controls.audit(last=5)

    assert (changed.status, another.status, record.by) == (303, 403, "anna@acme.example")
    assert TOKEN not in page.text


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ([("X-Auth-User", "anna")], 303),
        ([("X-Auth-User", "anna"), ("Authorization", "Bearer wrong")], 303),
        ([("Authorization", f"Bearer {TOKEN}")], 403),
        ([("Authorization", f"Bearer {TOKEN}"), ("X-Auth-User", "anna"), ("X-Auth-User", "bert")], 403),
        ([("Authorization", f"Bearer {TOKEN}"), ("X-Auth-User", " ")], 400),
    ],
)
async def test_header_of_anybody_else_names_nobody(headers: list[tuple[str, str]], status: int) -> None:
    """Who lacks the token is sent to the form; a proxy that names nobody, or two, is refused."""
    world = World(admin={"token": TOKEN, "console": {"trusted_header": "X-Auth-User"}})
    async with world.opened() as browser:
        assert (await browser.send("GET", "/audit", headers=headers)).status == status


async def test_api_is_not_opened_by_a_session() -> None:
    """Nor by a path that looks like the console's."""
    async with World(admin={"token": TOKEN}).opened() as browser:
        await browser.signed_in(token=TOKEN)
        for path in ("/../subscribers", "/%2e%2e/subscribers", "/..%2fsubscribers", "//subscribers"):
            answer = await browser.get(path)
            assert answer.status in {401, 404}, path
        for path in ("/subscribers", "/audit", "/%63onsole/../audit"):
            async with browser.client.get(path) as answer_of_the_api:
                assert answer_of_the_api.status in {401, 404}, path


async def test_reader_sees_pages_without_forms_and_changes_nothing() -> None:
    """Not even with a form of the reader's own session; signing out changes nothing either."""
    reader = "canary-token-of-the-reader"
    async with World(admin={"token": TOKEN, "reader_token": reader}).opened() as browser:
        csrf = await browser.signed_in(token=reader)
        page = await browser.get(f"/subscribers/{TARGET}")
        refused = await browser.post(f"/subscribers/{TARGET}/pause", {"csrf": csrf, "reason": "none"})
        left = await browser.post("/sign-out", {"csrf": csrf})

    assert (page.status, f"{TARGET}/pause" in page.text, "as a reader" in page.text) == (200, False, True)
    assert (refused.status, "admin.token" in refused.text) == (403, True)
    assert left.status == 303


async def test_guessing_at_the_form_has_to_wait() -> None:
    """The sixth token is not looked at."""
    async with World(admin={"token": TOKEN}).opened() as browser:
        answers = [(await browser.sign_in(token=f"wrong-{number}")).status for number in range(5)]
        assert answers == [403] * 5
        assert (await browser.sign_in(token=TOKEN)).status == 429
