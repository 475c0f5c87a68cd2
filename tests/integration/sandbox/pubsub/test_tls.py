"""The Pub/Sub API over TLS, its address, and the command that serves it."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import grpc
import grpc.aio
import pytest

from streamer.clock import TurnedClock
from streamer.sandbox import Sandbox, SandboxSettings
from streamer.sandbox.certificates import certificates
from streamer.sandbox.server import ListenFailed
from tests.integration.sandbox.command import Running, running_with_tls
from tests.integration.sandbox.pubsub.client import Client
from tests.integration.sandbox.pubsub.conftest import World, metadata
from tests.waiting import LIMIT_S

# Run with the environment that the sandbox recommends; certificates come from there alone.
CLIENT = """
import sys, grpc, requests
from streamer.eventbus import TopicRequest
from streamer.eventbus.calls import GET_TOPIC

url, address = sys.argv[1:]
form = {"grant_type": "client_credentials", "client_id": "sandbox", "client_secret": "sandbox-secret"}
answer = requests.post(f"{url}/services/oauth2/token", data=form, timeout=300).json()
org_id = answer["id"].split("/")[-2]
method = grpc.secure_channel(address, grpc.ssl_channel_credentials()).unary_unary(
    GET_TOPIC.path,
    request_serializer=GET_TOPIC.request.SerializeToString,
    response_deserializer=GET_TOPIC.response.FromString,
)
metadata = (("accesstoken", answer["access_token"]), ("instanceurl", url), ("tenantid", org_id))
print(method(TopicRequest(topic_name="/data/AccountChangeEvent"), metadata=metadata, timeout=300).schema_id)
"""


@pytest.fixture
def command(tmp_path: Path) -> Iterator[Running]:
    """The command, running."""
    with running_with_tls(tmp_path) as process:
        yield process


def run(command: Running, *trusting: str) -> subprocess.CompletedProcess[str]:
    """Run the client with some of the recipes."""
    environment = os.environ | {name: command.recipes[name] for name in trusting}
    return subprocess.run(
        [sys.executable, "-c", CLIENT, command.url, command.pubsub],
        env=environment,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )


def test_the_command_serves_it_over_tls(command: Running) -> None:
    """A client trusts it by the variable that is printed, and not without."""
    trusted = run(command, "REQUESTS_CA_BUNDLE", "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH")
    assert (len(trusted.stdout.strip()), trusted.returncode) == (22, 0), trusted.stderr
    stranger = run(command, "REQUESTS_CA_BUNDLE")
    assert stranger.returncode == 1
    assert "StatusCode.UNAVAILABLE" in stranger.stderr


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
async def test_loopback_is_trusted_under_all_its_names(tmp_path: Path, host: str) -> None:
    """The certificate is the same as for the REST API."""
    files = certificates(tmp_path, ())
    credentials = grpc.ssl_channel_credentials(files.authority.read_bytes())
    async with Sandbox(TurnedClock(), pubsub_port=0, settings=SandboxSettings(tls=files)) as sandbox:
        address = f"{host}:{sandbox.pubsub_address.rpartition(':')[2]}"
        async with grpc.aio.secure_channel(address, credentials) as channel:
            client = Client(channel=channel, metadata=metadata(sandbox))
            assert (await client.topic("/data/AccountChangeEvent")).can_subscribe
    assert sandbox.url.startswith("https://")


async def test_tls_needs_certificates(tmp_path: Path) -> None:
    """A context has no files that gRPC could read."""
    settings = SandboxSettings(tls=certificates(tmp_path, ()).context())
    with pytest.raises(TypeError, match="Certificates"):
        Sandbox(TurnedClock(), pubsub_port=0, settings=settings)


async def test_it_is_served_on_demand() -> None:
    """Without a port there is no address."""
    async with Sandbox(TurnedClock()) as sandbox:
        with pytest.raises(RuntimeError, match="pubsub_port"):
            _ = sandbox.pubsub_address


def test_grpc_is_imported_on_demand() -> None:
    """A sandbox that does not need it starts as fast as without."""
    loaded = "import sys, streamer.sandbox; print('grpc' in sys.modules, 'google.protobuf' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", loaded], capture_output=True, text=True, check=True, timeout=LIMIT_S
    )
    assert done.stdout == "False False\n"


async def test_a_port_in_use_is_refused(world: World) -> None:
    """Neither another sandbox nor any other listener can be shared with."""
    taken = int(world.sandbox.pubsub_address.rpartition(":")[2])
    with socket.create_server(("127.0.0.1", 0)) as listener:
        for port in (taken, listener.getsockname()[1]):
            with pytest.raises(ListenFailed, match="in use") as refused:
                async with Sandbox(TurnedClock(), pubsub_port=port):
                    pass
            assert (refused.value.port, refused.value.is_pubsub) == (port, True)
