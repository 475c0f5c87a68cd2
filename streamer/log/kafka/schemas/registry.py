"""Registry of schemas: the port, a client of Confluent's API, and a twin in memory.

Sources: Confluent's Schema Registry API reference and schema evolution guide;
Apicurio Registry 2.6, compatibility with Confluent's API.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Literal, Protocol
from urllib.parse import quote

import orjson
from yarl import URL

from streamer.clock import Clock
from streamer.errors import ConfigurationError, CredentialsRefused, LogMisconfigured, LogUnavailable
from streamer.events import JsonObject
from streamer.later import Later
from streamer.settings import SchemaRegistrySettings
from streamer.web.proxy import ProxyFailed, proxy_for, send
from streamer.web.reasons import connection_reason

if TYPE_CHECKING:
    import ssl

    import aiohttp
else:
    aiohttp = Later("aiohttp")
    ssl = Later("ssl")

SchemaFormat = Literal["AVRO", "JSON"]
_MEDIA_TYPE = "application/vnd.schemaregistry.v1+json"
_LARGEST_ANSWER = 8 * 1024 * 1024
_LONGEST_REASON = 500
_INCOMPATIBLE = HTTPStatus.CONFLICT
_REFUSED = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})


class RegistryUnavailable(LogUnavailable):
    """The registry does not answer: check that it runs, and its address in log.kafka.schema_registry."""


class SchemaIncompatible(LogMisconfigured):
    """The registry refuses a schema, because consumers of earlier schemas can't read its events."""


@dataclass(frozen=True, slots=True)
class SchemaText:
    """Schema as text, with its format."""

    format: SchemaFormat
    text: str


class SchemaRegistry(Protocol):
    """Store of schemas. A schema has one id for ever; a subject is a sequence of compatible schemas.

    Each method raises `RegistryUnavailable` if there is no answer, `CredentialsRefused`
    if the registry refuses our credentials, and `LogMisconfigured` for another refusal.
    """

    async def schema(self, schema_id: int, /) -> SchemaText | None:
        """Return the schema with this id, or `None` if the registry has no such schema."""
        ...

    async def lookup(self, subject: str, schema: SchemaText, /) -> int | None:
        """Return the id of `schema` in `subject`, or `None` if it is not one of the subject's schemas."""
        ...

    async def latest(self, subject: str, /) -> SchemaText | None:
        """Return the subject's last schema, or `None` if the subject has no schema."""
        ...

    async def incompatibility(self, subject: str, schema: SchemaText, /) -> str:
        """Return why `schema` can't follow the subject's last schema; empty if it can. Changes nothing."""
        ...

    async def register(self, subject: str, schema: SchemaText, /) -> int:
        """Add `schema` to the subject unless the subject has it, and return its id.

        Raises `SchemaIncompatible`.
        """
        ...

    async def require(self, subject: str, level: str, /) -> None:
        """Set the compatibility of the subject, such as `BACKWARD`."""
        ...


class HttpRegistry:
    """Client of a registry with Confluent's API.

    Each request has a session of its own, so any thread with an event loop can call the
    client. Requests are rare: ids and schemas are cached by the callers.
    """

    def __init__(self, settings: SchemaRegistrySettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock

    async def schema(self, schema_id: int, /) -> SchemaText | None:
        """Return a schema by its id; see `SchemaRegistry`."""
        return _schema(await self._ask("GET", f"schemas/ids/{schema_id}", missing=True))

    async def lookup(self, subject: str, schema: SchemaText, /) -> int | None:
        """Return the id of a schema in a subject; see `SchemaRegistry`."""
        answer = await self._ask("POST", f"subjects/{_quoted(subject)}", _body(schema), missing=True)
        return None if answer is None else _id(answer)

    async def latest(self, subject: str, /) -> SchemaText | None:
        """Return the last schema of a subject; see `SchemaRegistry`."""
        return _schema(await self._ask("GET", f"subjects/{_quoted(subject)}/versions/latest", missing=True))

    async def incompatibility(self, subject: str, schema: SchemaText, /) -> str:
        """Return why a schema can't follow; see `SchemaRegistry`."""
        path = f"compatibility/subjects/{_quoted(subject)}/versions/latest?verbose=true"
        answer = await self._ask("POST", path, _body(schema), missing=True)
        if answer is None or answer.get("is_compatible") is True:
            return ""
        told = answer.get("messages") or answer.get("reason") or "the registry gives no reason"
        return _shortened("; ".join(map(str, told)) if isinstance(told, list) else str(told))

    async def register(self, subject: str, schema: SchemaText, /) -> int:
        """Register a schema; see `SchemaRegistry`."""
        answer = await self._ask("POST", f"subjects/{_quoted(subject)}/versions", _body(schema))
        assert answer is not None  # noqa: S101 - only with `missing`
        return _id(answer)

    async def require(self, subject: str, level: str, /) -> None:
        """Set the compatibility of a subject; see `SchemaRegistry`."""
        await self._ask("PUT", f"config/{_quoted(subject)}", {"compatibility": level})

    async def _ask(
        self, method: str, path: str, body: JsonObject | None = None, *, missing: bool = False
    ) -> JsonObject | None:
        """Return the JSON of the answer; with `missing`, `None` for a missing subject or schema."""
        url = f"{self._settings.url}/{path}"
        try:
            async with self._clock.timeout(self._settings.timeout_s):
                status, raw = await self._exchange(method, url, body)
        except ProxyFailed as exc:
            raise RegistryUnavailable(str(exc)) from exc
        except TimeoutError as exc:
            reason = f"no answer within {self._settings.timeout_s:g} s"
            raise self._unavailable(reason) from exc
        except (aiohttp.ClientError, OSError) as exc:
            raise self._unavailable(connection_reason(exc)) from exc
        if missing and status == HTTPStatus.NOT_FOUND:
            return None
        if status != HTTPStatus.OK:
            raise self._refusal(status, raw, path)
        try:
            answer = orjson.loads(raw)
        except orjson.JSONDecodeError:
            answer = None
        if not isinstance(answer, dict):
            raise self._unavailable("its answer is not a JSON object: check the address")
        return answer

    async def _exchange(self, method: str, url: str, body: JsonObject | None) -> tuple[int, bytes]:
        headers = {"accept": _MEDIA_TYPE, **self._authorization()}
        if body is not None:
            headers["content-type"] = _MEDIA_TYPE
        options: dict[str, Any] = {
            "headers": headers,
            "data": None if body is None else orjson.dumps(body),
            "ssl": self._context(),
        }
        async with (
            aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as http,
            await send(
                http, method, URL(url, encoded=True), proxy=proxy_for(URL(url)), **options
            ) as response,
        ):
            raw = await _limited(response.content)
            return response.status, raw

    def _context(self) -> ssl.SSLContext | Literal[True]:
        file = self._settings.ca_file
        if file is None:
            return True
        try:
            return ssl.create_default_context(cafile=file)
        except OSError as exc:
            raise ConfigurationError(
                f"log.kafka.schema_registry.ca_file: {file} can't be used: {exc.strerror or exc}"
            ) from exc

    def _authorization(self) -> Mapping[str, str]:
        auth = self._settings.auth
        if auth is None:
            return {}
        if auth.token is not None:
            return {"authorization": f"Bearer {auth.token.get_secret_value()}"}
        password = auth.password.get_secret_value() if auth.password else ""
        coded = base64.b64encode(f"{auth.username}:{password}".encode()).decode()
        return {"authorization": f"Basic {coded}"}

    def _unavailable(self, reason: str) -> RegistryUnavailable:
        return RegistryUnavailable(f"the schema registry at {self._settings.url} is unavailable: {reason}")

    def _refusal(self, status: int, raw: bytes, path: str) -> Exception:
        reason = _shortened(_message(raw))
        if status in _REFUSED:
            return CredentialsRefused(
                f"the schema registry at {self._settings.url} refuses our credentials (HTTP {status}): check "
                f"log.kafka.schema_registry.auth, and the permissions for {path}"
            )
        if status == _INCOMPATIBLE:
            return SchemaIncompatible(f"the registry refuses the schema as incompatible: {reason}")
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status == HTTPStatus.TOO_MANY_REQUESTS:
            return self._unavailable(f"HTTP {status}: {reason}")
        return LogMisconfigured(
            f"the schema registry at {self._settings.url} refuses a request for {path} (HTTP {status}): "
            f"{reason}"
        )


async def _limited(content: aiohttp.StreamReader) -> bytes:
    body = bytearray()
    async for chunk in content.iter_any():
        body += chunk
        if len(body) > _LARGEST_ANSWER:
            raise aiohttp.ClientPayloadError(f"the answer has more than {_LARGEST_ANSWER} bytes")
    return bytes(body)


def _quoted(subject: str) -> str:
    return quote(subject, safe="")


def _body(schema: SchemaText) -> JsonObject:
    # Avro is the default, which the oldest registries do not know by name.
    more = {} if schema.format == "AVRO" else {"schemaType": schema.format}
    return {"schema": schema.text, **more}


def _schema(answer: JsonObject | None) -> SchemaText | None:
    if answer is None:
        return None
    return SchemaText("JSON" if answer.get("schemaType") == "JSON" else "AVRO", _text(answer, "schema"))


def _text(answer: JsonObject, name: str) -> str:
    value = answer.get(name)
    if not isinstance(value, str):
        raise LogMisconfigured(
            f"an answer of the schema registry has no {name}: check the registry's address"
        )
    return value


def _id(answer: JsonObject) -> int:
    value = answer.get("id")
    if type(value) is not int or not 0 <= value < 2**32:
        raise LogMisconfigured("an answer of the schema registry has no id: check the registry's address")
    return value


def _message(raw: bytes) -> str:
    try:
        return str(orjson.loads(raw)["message"])
    except (LookupError, TypeError, ValueError):
        return raw.decode("utf-8", "replace")


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST_REASON else f"{text[:_LONGEST_REASON]}…"


@dataclass(slots=True, kw_only=True)
class MemoryRegistry:
    """Twin of a registry, in memory. It compares Avro records as `BACKWARD` does, and no other schemas.

    While `outage` has a text, each call fails with this text. `calls` has the names of
    the methods that were called.
    """

    outage: str = ""
    calls: list[str] = field(default_factory=list)
    _texts: list[SchemaText] = field(default_factory=list)
    _subjects: dict[str, list[int]] = field(default_factory=dict)
    _levels: dict[str, str] = field(default_factory=dict)

    async def schema(self, schema_id: int, /) -> SchemaText | None:
        """Return a schema by its id; see `SchemaRegistry`."""
        self._called("schema")
        return self._texts[schema_id - 1] if 0 < schema_id <= len(self._texts) else None

    async def lookup(self, subject: str, schema: SchemaText, /) -> int | None:
        """Return the id of a schema in a subject; see `SchemaRegistry`."""
        self._called("lookup")
        found = (each for each in self._subjects.get(subject, ()) if self._texts[each - 1] == schema)
        return next(found, None)

    async def latest(self, subject: str, /) -> SchemaText | None:
        """Return the last schema of a subject; see `SchemaRegistry`."""
        self._called("latest")
        known = self._subjects.get(subject)
        return self._texts[known[-1] - 1] if known else None

    async def incompatibility(self, subject: str, schema: SchemaText, /) -> str:
        """Return why a schema can't follow; see `SchemaRegistry`."""
        self._called("incompatibility")
        return self._compared(subject, schema)

    async def register(self, subject: str, schema: SchemaText, /) -> int:
        """Register a schema; see `SchemaRegistry`."""
        self._called("register")
        if reason := self._compared(subject, schema):
            raise SchemaIncompatible(f"the registry refuses the schema as incompatible: {reason}")
        if schema not in self._texts:
            self._texts.append(schema)
        schema_id = self._texts.index(schema) + 1
        known = self._subjects.setdefault(subject, [])
        if schema_id not in known:
            known.append(schema_id)
        return schema_id

    async def require(self, subject: str, level: str, /) -> None:
        """Set the compatibility of a subject; see `SchemaRegistry`."""
        self._called("require")
        self._levels[subject] = level

    def _called(self, name: str) -> None:
        self.calls.append(name)
        if self.outage:
            raise RegistryUnavailable(self.outage)

    def _compared(self, subject: str, schema: SchemaText) -> str:
        known = self._subjects.get(subject)
        if not known or schema.format != "AVRO" or self._levels.get(subject, "NONE") == "NONE":
            return ""
        return _differs(orjson.loads(schema.text), orjson.loads(self._texts[known[-1] - 1].text), "")


_PROMOTED = {("double", "long"), ("double", "int"), ("long", "int"), ("string", "bytes"), ("bytes", "string")}


def _differs(reader: Any, writer: Any, path: str) -> str:
    """Return where `reader` can't read what `writer` wrote; empty if it can."""
    if isinstance(writer, list):
        reasons = map(partial(_differs_from_any, reader, path=path), writer)
        return next(filter(None, reasons), "")
    if isinstance(reader, list):
        return _differs_from_any(reader, writer, path=path)
    ours, theirs = _kind(reader), _kind(writer)
    if ours == theirs == "record":
        return _record_differs(reader, writer, path)
    is_read = ours == theirs or (ours, theirs) in _PROMOTED
    return "" if is_read else f"{path or '/'}: {ours} can't read {theirs}"


def _record_differs(reader: Any, writer: Any, path: str) -> str:
    known = {each["name"]: each["type"] for each in writer["fields"]}
    for each in reader["fields"]:
        name = f"{path}/{each['name']}"
        if each["name"] not in known:
            if "default" not in each:
                return f"{name} has no default"
        elif reason := _differs(each["type"], known[each["name"]], name):
            return reason
    return ""


def _differs_from_any(reader: Any, writer: Any, *, path: str) -> str:
    branches = reader if isinstance(reader, list) else [reader]
    if any(not _differs(branch, writer, path) for branch in branches):
        return ""
    return f"{path or '/'}: no branch can read {_kind(writer)}"


def _kind(kind: Any) -> str:
    return str(kind["type"] if isinstance(kind, dict) else kind)
