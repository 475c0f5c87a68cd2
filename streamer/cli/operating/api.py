"""Client of a daemon's admin API."""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

import aiohttp
import orjson
from pydantic import SecretStr
from yarl import URL

from streamer.configuration import load_document, load_section
from streamer.errors import ConfigurationError, Stop
from streamer.events import JsonObject
from streamer.exact_json import exact_value
from streamer.known_secrets import KNOWN
from streamer.settings import AdminSettings

DEFAULT_URL = "http://localhost:9465"

_CONNECT_S = 5.0
_ANSWER_S = 120.0
# To compare dead letters, the daemon sometimes reads much of the log.
_LONG_ANSWER_S = 1_800.0
# Without new events, the daemon sends a heartbeat every five seconds.
_SILENT_S = 30.0
_LONGEST_LINE = 32 * 1024 * 1024
_EVERYWHERE = frozenset({"", "0.0.0.0", "::"})  # noqa: S104 - compared with, not listened on


class ApiRefused(Stop):
    """The API can't be reached or refuses the request; the message names the reason and the remedy."""


class ApiInterrupted(ApiRefused):
    """A streaming response was cut off: the daemon has stopped, or the connection broke."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Api:
    """Admin API at `url`; every call raises `ApiRefused` when it fails."""

    url: str
    token: SecretStr | None = None
    timeout_s: float = _ANSWER_S

    @property
    def for_long_requests(self) -> Self:
        """This API with a longer time-out, for requests that take long."""
        return replace(self, timeout_s=_LONG_ANSWER_S)

    async def get(self, path: str, **query: str | int | None) -> JsonObject:
        """Return the resource at `path`; query parameters that are `None` are not sent."""
        return await self._request("GET", path, params=_without_none(query))

    async def post(self, path: str, **body: Any) -> JsonObject:
        """Send `body` to `path` and return the answer; members that are `None` are not sent."""
        return await self._request("POST", path, json=_without_none(body))

    async def lines(self, path: str, **query: str | int | None) -> AsyncGenerator[JsonObject, None]:
        """Yield the JSON objects of a streaming response.

        Raises `ApiInterrupted` when the response is cut off or ends.
        """
        timeout = aiohttp.ClientTimeout(total=None, connect=_CONNECT_S, sock_read=_SILENT_S)
        async with self._opened("GET", path, timeout, params=_without_none(query)) as response:
            if response.status >= 300:  # noqa: PLR2004 - beyond the class of success
                self._parsed(response.status, await response.read())
            try:
                async for line in _lines_of(response.content):
                    yield line
            except (aiohttp.ClientError, TimeoutError, ValueError) as error:
                raise ApiInterrupted(
                    f"The connection to the daemon at {self.url} is lost ({_reason(error)})."
                ) from error
        raise ApiInterrupted(f"The daemon at {self.url} has stopped or has closed its log.")

    async def _request(self, method: str, path: str, **what: Any) -> JsonObject:
        timeout = aiohttp.ClientTimeout(total=self.timeout_s, connect=min(_CONNECT_S, self.timeout_s))
        async with self._opened(method, path, timeout, **what) as response:
            return self._parsed(response.status, await response.read())

    @asynccontextmanager
    async def _opened(
        self, method: str, path: str, limits: aiohttp.ClientTimeout, **what: Any
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        headers = {"Authorization": f"Bearer {self.token.get_secret_value()}"} if self.token else {}
        try:
            url = URL(self.url.rstrip("/") + quote(path, safe="/"), encoded=True)
            async with (
                aiohttp.ClientSession(timeout=limits, headers=headers) as http,
                http.request(method, url, allow_redirects=False, **what) as response,
            ):
                yield response
        except (aiohttp.ClientError, ValueError) as error:
            raise ApiRefused(
                f"{self.url} can't be reached ({_reason(error)}): check that the daemon runs, and "
                "name its admin address with --url or its configuration with -c."
            ) from error
        except TimeoutError as error:
            raise ApiRefused(
                f"{self.url} has not answered within {self.timeout_s:g} s. The request can still take "
                "effect: check `streamer audit` before you repeat the command."
            ) from error

    def _parsed(self, status: int, body: bytes) -> JsonObject:
        try:
            answer = exact_value(body)
        except orjson.JSONDecodeError:
            answer = None
        is_refusal = status >= 300  # noqa: PLR2004 - beyond the class of success
        if not isinstance(answer, dict) or (is_refusal and "error" not in answer):
            raise ApiRefused(
                f"{self.url} answers with status {status}, but is not Streamer's admin API: check the "
                "address. The API's port is admin.port in the configuration; the default is 9465."
            )
        if is_refusal:
            raise ApiRefused(str(answer["error"]))
        return answer


def api_of(files: Sequence[Path], url: str | None, token: str | None) -> Api:
    """Return the API at `url` with `token`; the configuration in `files` supplies a missing URL or token.

    Raises `ConfigurationError`.
    """
    configured = _configured(files) if files else None
    KNOWN.configure([token or ""])
    shown = SecretStr(token) if token else configured.token if configured else None
    if url or configured is None:
        return Api(url=url or DEFAULT_URL, token=shown)
    if configured.port == 0:
        raise ConfigurationError(
            "admin.port is 0, so the daemon chose a free port: name the address from the daemon's "
            "log with --url"
        )
    host = "localhost" if configured.host in _EVERYWHERE else configured.host
    return Api(url=str(URL.build(scheme="http", host=host, port=configured.port)), token=shown)


async def _lines_of(content: aiohttp.StreamReader) -> AsyncIterator[JsonObject]:
    """Yield the object in each line of `content`; raises `ValueError` for a line that is not an object."""
    rest = b""
    async for piece in content.iter_any():
        *lines, rest = (rest + piece).split(b"\n")
        if len(rest) > _LONGEST_LINE:
            raise ValueError("the daemon's answer contains a line that is too long")
        for line in lines:
            found = exact_value(line)
            if not isinstance(found, dict):
                raise ValueError("the daemon's answer contains a line that is not a JSON object")  # noqa: TRY004 - the text is wrong, not a type
            yield found


def _configured(files: Sequence[Path]) -> AdminSettings:
    document = load_document(files)
    if "admin" not in document.data:
        return AdminSettings()
    if document.data["admin"] is None:
        raise ConfigurationError(document.mistake(("admin",), "is null, so the daemon has no admin API"))
    # The operator's environment can lack the daemon's other secrets.
    return load_section(document, "admin", AdminSettings)


def _reason(error: Exception) -> str:
    match error:
        case TimeoutError():
            return "the daemon did not answer in time"
        case aiohttp.ClientConnectorError():
            return "no process listens at the address, or the host name can't be resolved"
        case _:
            return str(error) or type(error).__name__


def _without_none(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
