"""HTTP listener on a configured address."""

import errno
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from streamer.errors import ConfigurationError

_CLOSING_S = 1.0


def refused_address(error: OSError, *, host: str, port: int) -> str:
    """Return in words why nothing can listen on an address."""
    if error.errno == errno.EADDRINUSE:
        return f"{host}:{port} is in use already"
    reason = error.strerror or str(error)
    # asyncio's own words repeat the address; a name that can't be resolved has a negative number.
    if error.errno is not None and error.errno > 0:
        reason = os.strerror(error.errno)
    return f"can't listen on {host}:{port} ({reason})"


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
                f"{section}: {refused_address(error, host=host, port=port)}; "
                f"choose another {section}.port or {section}.host; port 0 takes a free one."
            ) from error
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()
