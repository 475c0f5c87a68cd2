"""The command `streamer sandbox`."""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, TypeVar

import typer
from rich.console import Console
from yarl import URL

from streamer.cli.output import failures_reported
from streamer.cli.signals import until_signalled
from streamer.clock import SystemClock
from streamer.errors import ConfigurationError
from streamer.sandbox import OrgSetup, Sandbox, SandboxSettings, read_schema
from streamer.sandbox.access.users_file import read_users
from streamer.sandbox.auth.connected_app import ConnectedApp
from streamer.sandbox.certificates import JAVA_PASSWORD, Certificates, certificates
from streamer.sandbox.org.channels import Channels
from streamer.sandbox.server import ListenFailed
from streamer.web.listener import refused_address

_PORT, _PUBSUB_PORT = 8808, 7443

_Content = TypeVar("_Content")

Names = Annotated[
    list[str] | None,
    typer.Option(
        metavar="HOST",
        help=(
            "Further host name under which clients reach the sandbox, besides localhost; repeat the "
            "option for several names."
        ),
        show_default="none",
    ),
]
Callbacks = Annotated[
    list[str] | None,
    typer.Option(
        metavar="URL",
        help=(
            "Callback address of an app whose users log in with a browser; repeat the option for several "
            "addresses."
        ),
        show_default="any on this machine",
    ),
]
UsersFile = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="YAML file with more users, and with their permissions on objects, fields and channels.",
        show_default="one user, who can do everything",
    ),
]
PubSubPort = Annotated[
    int | None,
    typer.Option(
        min=0,
        max=65_535,
        metavar="PORT",
        help="Port of the Pub/Sub API (gRPC); 0 takes a free port.",
        show_default=f"{_PUBSUB_PORT}, or a free port if --port is not the default",
    ),
]
SchemaFile = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help=(
            "YAML file with objects, fields, platform events and channels; the sandbox refuses all other "
            "names."
        ),
        show_default="any custom object, field and event",
    ),
]


def sandbox(  # noqa: PLR0913 - each parameter is an option of the command
    port: Annotated[
        int, typer.Option(min=0, max=65_535, metavar="PORT", help="Port to listen on; 0 takes a free port.")
    ] = _PORT,
    host: Annotated[
        str,
        typer.Option(
            metavar="HOST",
            help="Address to listen on; anyone who can reach the address controls the sandbox.",
        ),
    ] = "localhost",
    name: Names = None,
    users: UsersFile = None,
    schema: SchemaFile = None,
    callback: Callbacks = None,
    *,
    pubsub_port: PubSubPort = None,
    tls: Annotated[
        bool,
        typer.Option(
            "--tls", help="Serve https, with a certificate from the sandbox's own certificate authority."
        ),
    ] = False,
    tls_folder: Annotated[
        Path, typer.Option(metavar="FOLDER", help="Folder for the certificate and its certificate authority.")
    ] = Path(".streamer-sandbox"),
) -> None:
    """Run a local Salesforce org: OAuth, REST, CometD and Pub/Sub, with faults to inject under /sandbox/."""
    names = tuple(name or ())
    with failures_reported():
        files = _certificates(tls_folder, (host, *names)) if tls else None
        settings = SandboxSettings(
            org=OrgSetup(schema=_read("--schema", read_schema, schema)) if schema else OrgSetup(),
            names=names,
            app=ConnectedApp(callbacks=tuple(map(_address, callback or ()))),
            users=_read("--users", read_users, users) if users else (),
            tls=files,
        )
        if pubsub_port is None:
            pubsub_port = _PUBSUB_PORT if port == _PORT else 0
        local = Sandbox(SystemClock(), host=host, port=port, pubsub_port=pubsub_port, settings=settings)
        asyncio.run(until_signalled(lambda stopping: _serve(local, files, stopping)))


async def _serve(local: Sandbox, files: Certificates | None, stopping: asyncio.Event) -> None:
    async with AsyncExitStack() as stack:
        try:
            org = await stack.enter_async_context(local)
        except ListenFailed as error:
            reason = refused_address(error, host=error.host, port=error.port)
            option = "--pubsub-port" if error.is_pubsub else "--port"
            raise ConfigurationError(
                f"{reason}; choose another {option} (0 takes a free port) or another --host."
            ) from error
        console = Console(highlight=False, soft_wrap=True)
        console.print(f"The sandbox listens at {org.url}; Ctrl-C stops it.")
        address = org.pubsub_address
        console.print(
            f"The Pub/Sub API listens at {address}, {'with' if files else 'without'} TLS: clients use "
            "this address instead of api.pubsub.salesforce.com:7443. For Streamer, set "
            "org.pubsub.endpoint: "
            f"{address if files else f'http://{address}'}"
        )
        console.print(
            "Log in with client credentials: client_id [bold]sandbox[/], "
            "client_secret [bold]sandbox-secret[/]."
        )
        console.print(_announced(local.org.channels))
        if files is not None:
            console.print(_recipes(files), markup=False)
        await stopping.wait()


def _announced(channels: Channels) -> str:
    names = ", ".join(sorted(channels.selected)) or "no entity, so the sandbox sends no changes"
    if channels.is_usual:
        names += ", and every custom object"
    return f"Change Data Capture selects {names}; `streamer org cdc` changes the selection."


def _read(option: str, read: Callable[[Path], _Content], file: Path) -> _Content:
    try:
        return read(file)
    except OSError as error:
        raise ConfigurationError(f"{option}: {file}: can't be read: {error.strerror}") from None
    except ValueError as error:
        raise ConfigurationError(f"{option}: {error}") from None


def _address(callback: str) -> str:
    try:
        url = URL(callback)
    except ValueError:
        url = URL()
    # A phone app has its own URL scheme, such as sfdc://done.
    if not url.scheme or not (url.host or url.path) or "#" in callback:
        raise ConfigurationError(
            f"--callback: {callback}: must be an absolute URL without #, such as https://app.example/back"
        )
    return callback


def _certificates(folder: Path, hosts: tuple[str, ...]) -> Certificates:
    try:
        return certificates(folder.absolute(), (host for host in hosts if not _is_any_address(host)))
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ConfigurationError(
            f"--tls: can't write certificates to {folder} ({reason}); choose another --tls-folder."
        ) from error


def _is_any_address(host: str) -> bool:
    try:
        return ip_address(host).is_unspecified
    except ValueError:
        return False


def _recipes(files: Certificates) -> str:
    authority = files.authority
    return (
        "\nClients trust the sandbox's certificate authority with one of these variables in their "
        "environment:\n"
        f"  Python, requests   REQUESTS_CA_BUNDLE={authority}\n"
        f"  Python, aiohttp    SSL_CERT_FILE={authority}\n"
        f"  Node.js, sf CLI    NODE_EXTRA_CA_CERTS={authority}\n"
        f"  curl               CURL_CA_BUNDLE={authority}\n"
        f"  Go                 SSL_CERT_FILE={authority}\n"
        f"  gRPC               GRPC_DEFAULT_SSL_ROOTS_FILE_PATH={authority}\n"
        f"  Java               JAVA_TOOL_OPTIONS='-Djavax.net.ssl.trustStore={files.java_trust_store} "
        f"-Djavax.net.ssl.trustStorePassword={JAVA_PASSWORD}'"
    )
