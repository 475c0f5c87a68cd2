"""Reasons for failed connections, in an operator's words."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from streamer.later import Later

if TYPE_CHECKING:
    import ssl

    import aiohttp
else:
    aiohttp = Later("aiohttp")
    ssl = Later("ssl")

_NO_TLS = ("WRONG_VERSION_NUMBER", "wrong version number", "PACKET_LENGTH_TOO_LONG", "RECORD_LAYER_FAILURE")


def connection_reason(error: BaseException) -> str:
    """Return the reason why an HTTP request got no answer, with the server's host and port if known.

    The library's own message is not used, because it mentions TLS for every address,
    even without TLS.
    """
    match error:
        case aiohttp.ClientConnectorCertificateError():
            return f"the certificate of {error.host}:{error.port} is not trusted ({error.certificate_error})"
        case aiohttp.ClientConnectorDNSError():
            return f"the name {error.host} can't be resolved"
        case aiohttp.ClientConnectorSSLError() if speaks_no_tls(str(error)):
            return (
                f"{error.host}:{error.port} does not use TLS: use http:// instead of https:// in the address"
            )
        case aiohttp.ClientConnectorError():
            return f"can't connect to {error.host}:{error.port}: {system_reason(error.os_error)}"
        case aiohttp.ServerDisconnectedError():
            return "the server closed the connection without an answer"
        case _:
            return str(error) or type(error).__name__


def speaks_no_tls(said: str) -> bool:
    """Return true for a TLS library's message about a server that answers without TLS."""
    return any(word in said for word in _NO_TLS)


def system_reason(error: OSError) -> str:
    """Return the operating system's words for `error`, without asyncio's additions."""
    # An SSLError has OpenSSL's number.
    if error.errno is None or error.errno <= 0 or isinstance(error, ssl.SSLError):
        return error.strerror or str(error) or type(error).__name__
    return os.strerror(error.errno)
