"""Logins by OAUTHBEARER at a real broker, with tokens of a provider and of a token endpoint."""

import base64
import json
import threading
import time
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from streamer.clock import SystemClock
from streamer.errors import CredentialsRefused, LogMisconfigured, LogUnavailable
from streamer.events import Delivered
from streamer.known_secrets import KNOWN
from streamer.log.kafka.log import KafkaLog
from streamer.ports import KafkaToken
from streamer.settings import KafkaLogSettings, KafkaSecurity
from subscribers.kafka import Kafka
from tests.contracts.follower import following
from tests.contracts.values import CHANGES, a_checkpoint, an_append, an_event, append_to
from tests.deliveries import context, delivery
from tests.integration.kafka.test_security import refusal
from tests.integration.kafka.topics import make_topic, own_settings, warm_up
from tests.waiting import until
from tools.kafka.broker import STEADY, Broker
from tools.kafka.users import Users

ISSUED: list[str] = []


def jws(lifetime_s: float) -> str:
    """Return a token without a signature, as the broker's validator for tests accepts it."""
    now = time.time()
    parts = {"alg": "none"}, {"sub": "ann", "iat": now, "exp": now + lifetime_s}
    return ".".join(
        [*(base64.urlsafe_b64encode(json.dumps(each).encode()).decode().rstrip("=") for each in parts), ""]
    )


def issued(settings: Mapping[str, Any]) -> KafkaToken:
    """Return a token: the provider of these tests, which a distribution on the path names."""
    if reason := settings.get("fails"):
        raise RuntimeError(reason)
    lifetime_s = float(settings.get("lifetime_s", 3_600))
    value = str(settings.get("value") or jws(lifetime_s))
    ISSUED.append(value)
    return KafkaToken(
        value=value, expires_at=time.time() + lifetime_s, principal="ann", extensions={"traceId": "1"}
    )


@pytest.fixture(scope="module")
def broker() -> Iterator[Broker]:
    """A broker whose listener takes tokens."""
    # The broker ends a connection whose token has expired, unless the client shows a new token.
    expiring = {"listener.name.sasl_ssl.oauthbearer.connections.max.reauth.ms": "3600000"}
    users = Users(plain={"ann": "an-invented-password"})
    with Broker(users=users, settings={**STEADY, **expiring}) as broker:
        warm_up(broker.bootstrap)
        yield broker


@pytest.fixture(autouse=True)
def provider(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Install a distribution with an entry point, as pip would."""
    folder = tmp_path / "tokens-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: tokens\nVersion: 1.0\n")
    (folder / "entry_points.txt").write_text(f"[streamer.kafka_tokens]\nours = {__name__}:issued\n")
    monkeypatch.syspath_prepend(tmp_path)
    ISSUED.clear()


@pytest.fixture
def endpoint() -> Iterator[str]:
    """A token endpoint on loopback, which knows one client."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            form = self.rfile.read(int(self.headers["content-length"])).decode()
            known = base64.b64encode(b"streamer:a-known-secret").decode()
            is_known = known in self.headers.get("authorization", "")
            body = {"access_token": jws(3_600)} if is_known else {"error": "invalid_client"}
            ISSUED.append(form)
            self.send_response(200 if is_known else 401)
            self.send_header("content-type", "application/json")
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/token"
    server.shutdown()
    server.server_close()


def secured(broker: Broker, **oauth: Any) -> KafkaLogSettings:
    """Return settings that log in with these tokens."""
    return own_settings(broker.sasl_bootstrap, security=bearer(broker, **oauth))


def bearer(broker: Broker, **oauth: Any) -> dict[str, Any]:
    """Return the security settings."""
    return {
        "protocol": "SASL_SSL",
        "mechanism": "OAUTHBEARER",
        "ca_file": str(broker.ca_file),
        "oauth": oauth,
    }


async def test_token_of_a_provider_opens_the_log(broker: Broker) -> None:
    """Every client of ours gets tokens before its first use; a token is a secret."""
    async with KafkaLog.open(secured(broker, provider="ours"), SystemClock()) as log:
        await log.checkpoint(CHANGES)
        await append_to(log, an_append(an_event("e1")))
        async with following(log) as follower:
            await follower.read_until("e1")
            await follower.settle()
        assert await log.checkpoint(CHANGES) == a_checkpoint(1)

    assert len(set(ISSUED)) > 2
    assert KNOWN.hidden(f"got {ISSUED[-1]}") == "got ***"


async def test_token_that_expires_is_renewed_while_the_log_is_open(broker: Broker) -> None:
    """The broker ends connections with expired tokens, so later appends need new tokens."""
    async with KafkaLog.open(
        secured(broker, provider="ours", settings={"lifetime_s": 8}), SystemClock()
    ) as log:
        await log.checkpoint(CHANGES)
        await append_to(log, an_append(an_event("e1"), at=1))
        before, began = len(ISSUED), time.monotonic()

        async def renewed() -> bool:
            return len(ISSUED) > before + 1 and time.monotonic() - began > 10

        await until(renewed)
        await append_to(log, an_append(an_event("e2"), at=2))
        assert await log.checkpoint(CHANGES) == a_checkpoint(2)


async def test_refused_token_is_one_clear_sentence(broker: Broker) -> None:
    """It names the provider and the key to check, and never holds the token."""
    error = await refusal(secured(broker, provider="ours", settings={"value": "not-a-token-at-all"}))

    assert type(error) is CredentialsRefused
    assert str(error) == (
        f"Kafka at {broker.sasl_bootstrap} refused the login of the token of ours by OAUTHBEARER: check "
        "oauth in log.kafka.security"
    )


async def test_provider_that_fails_is_an_outage(broker: Broker) -> None:
    """The sentence has the provider's reason, and Streamer tries again."""
    with capture_logs() as lines:
        error = await refusal(secured(broker, provider="ours", settings={"fails": "the vault is sealed"}))

    assert type(error) is LogUnavailable
    assert "(the vault is sealed): check log.kafka.security.oauth" in str(error)
    assert {"kafka.token_missing"} <= {line["event"] for line in lines}


async def test_provider_that_nobody_installed_is_named(broker: Broker) -> None:
    """The remedy names the providers that there are."""
    error = await refusal(secured(broker, provider="theirs"))

    assert type(error) is LogMisconfigured
    assert "no installed package has the token provider theirs (installed: aws-msk-iam, ours)" in str(error)


async def test_token_of_an_endpoint_opens_the_log(broker: Broker, endpoint: str) -> None:
    """The endpoint is asked with the client's credentials and the scope."""
    settings = secured(
        broker,
        token_url=endpoint,
        client_id="streamer",
        client_secret="a-known-secret",
        scope="kafka",
        extensions={"logicalCluster": "lkc-1", "identityPoolId": "pool-1"},
    )
    async with KafkaLog.open(settings, SystemClock()) as log:
        await append_to(log, an_append(an_event("e1")))

        assert await log.checkpoint(CHANGES) == a_checkpoint(1)
    assert "grant_type=client_credentials&scope=kafka" in ISSUED[0]


async def test_endpoint_that_refuses_the_client_is_named(broker: Broker, endpoint: str) -> None:
    """Not as a refusal by Kafka; the secret is not repeated."""
    oauth = {"token_url": endpoint, "client_id": "streamer", "client_secret": "a-wrong-secret"}
    error = await refusal(secured(broker, **oauth))

    assert type(error) is LogUnavailable
    assert str(error).startswith(f"there is no token for Kafka from {endpoint} (")
    assert "a-wrong-secret" not in str(error)


def test_plugin_logs_in_with_the_same_tokens(broker: Broker) -> None:
    """A target in Kafka can have the same settings."""
    make_topic(broker.bootstrap, "oauth-target")
    settings = Kafka.Settings(
        bootstrap_servers=broker.sasl_bootstrap,
        topic="oauth-target",
        security=KafkaSecurity.model_validate(bearer(broker, provider="ours")),
    )
    with Kafka(settings, context(SystemClock())) as plugin:
        assert plugin.examine_target().is_well
        assert isinstance(plugin.deliver(delivery()), Delivered)
