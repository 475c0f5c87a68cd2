"""HTTP listener on a configured address."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from streamer.errors import ConfigurationError

_CLOSING_S = 1.0


@asynccontextmanager
async def listening(app: web.Application, *, host: str, port: int, section: str) -> AsyncIterator[int]:
    """Serve `app` at `host` inside the context; yields the port. Port 0 takes a free port.

    Raises `ConfigurationError`, which names the `section` of the
    configuration, when the address is not available.
    """
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=_CLOSING_S)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        try:
            await site.start()
        except OSError as error:
            raise ConfigurationError(
                f"{section}: can't listen on {host}:{port} ({error.strerror or error}); "
                f"choose another {section}.port or {section}.host."
            ) from error
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()
