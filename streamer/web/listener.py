"""A listener for HTTP, on an address that the configuration names."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from streamer.errors import ConfigurationError

_CLOSING_S = 1.0


@asynccontextmanager
async def listening(app: web.Application, *, host: str, port: int, section: str) -> AsyncIterator[int]:
    """Let `app` answer at `host` inside the context; yields the port, a free one where 0 is asked for.

    Raises `ConfigurationError`, which names the `section` of the
    configuration, when the address can't be had.
    """
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=_CLOSING_S)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        try:
            await site.start()
        except OSError as error:
            raise ConfigurationError(
                f"{section}: {host}:{port} can't be listened on ({error.strerror or error}); "
                f"choose another {section}.port or {section}.host."
            ) from error
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()
