"""HTTP target, which sends JSON, text or XML, and turns the answers into outcomes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import field
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote

import orjson
from yarl import URL

from streamer.events import Content, Delivered, Hold, Outcome, Reject, Retry
from streamer.events.event import value_of_every_event
from streamer.exact_json import exact_json
from streamer.known_secrets import MASK
from streamer.ports import TargetReport
from subscribers.http.answer import Answer, OutcomeTable, asked_pause, verdict
from subscribers.http.auth import Auth
from subscribers.http.connection import (
    HEADERS,
    ConnectionPool,
    Exchange,
    ForbiddenAddress,
    Unreached,
)
from subscribers.http.credentials import NoToken, Proof, credentials, masked_proof
from subscribers.http.examination import METHOD, address_of, judged
from subscribers.http.redaction import Redaction
from subscribers.http.sent_request import SentRequest, secret_parts
from subscribers.http.settings import HttpSettings, TargetSettings
from subscribers.http.signing import Signer, Signing

if TYPE_CHECKING:
    from streamer.ports import PluginContext, Preview

_REFUSALS = frozenset({401, 403})
_NO_PROOF = Proof()
_WITHOUT_CONTENT = frozenset({"DELETE", "GET"})
# Statuses of a token endpoint that refuses the client.
_NO_CLIENT = frozenset({400, *_REFUSALS})

# A key contains ids from outside, but a header accepts only visible ASCII.
_HEADER_SAFE = "!#$&'()*+,/:;=?@[]~|"
_PLAIN = re.compile(r"[A-Za-z0-9_.~:-]*")

# Shorter values in the query of a URL are names and numbers.
_LIKE_A_SECRET = 16
# Matches a generated segment of a path, such as the token in the address of an incoming webhook.
_TOKEN = re.compile(r"(?=(?:[\w-]*\d){3})(?=[\w-]*[A-Za-z])[\w-]{16,}")


@value_of_every_event
class Request:
    """Request of one attempt; `key` is the idempotency key, which is empty for a request that only reads.

    The content is `ready`, or if `ready` is missing, `body` as JSON. `DELETE` and `GET`
    have no content. `headers` are additional headers, which can't replace the headers
    for authentication, signatures and the key. `secrets` are secrets of this content
    only, and are removed from the answer. `traceparent` passes the trace of the attempt
    to the target (W3C Trace Context).
    """

    method: str
    url: URL
    key: str = ""
    body: Any = None
    ready: Content | None = None
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)
    traceparent: str | None = None

    @property
    def content(self) -> bytes:
        """Bytes to send; raises `orjson.JSONEncodeError`."""
        if self.method in _WITHOUT_CONTENT:
            return b""
        return exact_json(self.body) if self.ready is None else self.ready.data

    @property
    def content_headers(self) -> Mapping[str, str]:
        """Headers that describe the content and the accepted answers."""
        if self.method in _WITHOUT_CONTENT:
            return {}
        if self.ready is None:
            return {"Content-Type": "application/json"}
        return {"Content-Type": self.ready.type, "Accept": "*/*"}


class HttpTarget:
    """Sends requests to one target, and turns its answers into outcomes.

    The idempotency key of a request is in the headers `Idempotency-Key` (IETF draft)
    and `webhook-id` (Standard Webhooks). With signing secrets, the request also has
    signatures. In both headers, the key is percent-encoded as in a URL, and full stops
    are encoded as well. `secrets` and the secrets of the settings are removed from
    answers. Entering raises `ConfigurationError` for unusable certificates.
    """

    def __init__(
        self,
        settings: HttpSettings,
        auth: Auth,
        context: PluginContext,
        *,
        secrets: tuple[str, ...] = (),
        signing: Signing | None = None,
    ) -> None:
        self._settings = settings
        self._clock = context.clock
        self._connection = ConnectionPool(settings, context.clock)
        self._auth = auth
        self._credentials = credentials(auth, self._connection, context.clock)
        self._signer = Signer.of(signing)
        self._outcome_table = OutcomeTable(settings.outcomes)
        self._redaction = Redaction.of((*secrets, *self._signer.secrets))
        self._parts = Redaction.of(secret_parts(settings.urls.values()))
        self._proven_redaction: tuple[Proof, Redaction] | None = None
        self._open = AsyncExitStack()

    @classmethod
    def of(cls, settings: TargetSettings, context: PluginContext, *, secrets: tuple[str, ...] = ()) -> Self:
        """Return the target that `settings` describe, with credentials and signatures.

        `secrets` are additional secrets that an answer must not repeat.
        """
        secrets = (*secrets, *codes_in(settings.url))
        return cls(settings, settings.auth, context, secrets=secrets, signing=settings.signing)

    async def __aenter__(self) -> Self:
        await self._connection.open()
        self._open.push_async_callback(self._connection.close)
        if self._credentials is not None:
            self._open.push_async_callback(self._credentials.close)
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._open.aclose()

    async def deliver(self, request: Request) -> Outcome:
        """Send once, and return the outcome by the rules for all targets."""
        answer = await self.send(request)
        return self.verdict(answer) if isinstance(answer, Answer) else answer

    async def send(self, request: Request) -> Answer | Outcome:
        """Send once; return the target's answer, or the outcome if there is no answer.

        After a 401 or 403, the credentials are renewed if possible, and the request is
        sent once more.
        """
        content = _content(request)
        if not isinstance(content, bytes):
            return content
        try:
            return await self._send_with_credentials(request, content)
        except Unreached as exc:
            redaction = self._redaction | Redaction.of(request.secrets)
            exchange = self._sent(request, content, redaction).exchange()
            return Retry(reason=str(exc), failure=exc.failure, exchange=exchange)
        except NoToken as exc:
            return self._hold(exc)
        except ForbiddenAddress as exc:
            return exc.outcome

    def preview(self, request: Request) -> Preview | Outcome:
        """Return the request as `send` sends it, secrets masked, or the outcome if there is no request."""
        content = _content(request)
        if not isinstance(content, bytes):
            return content
        proof = masked_proof(self._auth)
        redacted = proof.redaction | self._redaction | Redaction.of(request.secrets)
        headers = {
            "Host": _host(request.url),
            **HEADERS,
            **self._headers(request, content, proof),
            **(
                {"Content-Length": str(len(content))}
                if content or request.method not in _WITHOUT_CONTENT
                else {}
            ),
        }
        if "webhook-signature" in headers:
            headers["webhook-signature"] = " ".join(f"v1,{MASK}" for _ in self._signer.keys)
        from streamer.ports import Preview  # noqa: PLC0415 - a daemon shows none

        return Preview(
            request=redacted(f"{request.method} {_url(request, proof)}".encode()).decode(),
            headers={name: redacted(value.encode()).decode() for name, value in headers.items()},
            content=redacted(content),
        )

    async def examined(
        self, url: URL | None = None, *, headers: Mapping[str, str] | None = None
    ) -> TargetReport:
        """Return a report on the target's address and TLS, a token, and the answer to a harmless request.

        The request goes to `url`; the default is the address in the settings.
        `headers` are added to the request. The method opens and closes the
        connections. Raises `ConfigurationError` for unusable certificates.
        """
        url = url or address_of(self._settings.urls)
        if url is None:
            return TargetReport(
                is_well=True, found="the settings contain no fixed address that could be tried"
            )
        async with self:
            try:
                proof = await self._credentials.proof() if self._credentials else _NO_PROOF
                answer = await self._connection.exchange(
                    Exchange(
                        method=METHOD,
                        url=url.update_query(proof.query) if proof.query else url,
                        headers={**(headers or {}), **proof.headers},
                        content=b"",
                        redaction=self._redaction_with(proof),
                    )
                )
            except (Unreached, NoToken, ForbiddenAddress) as exc:
                return TargetReport(is_well=False, found=str(exc))
        return judged(answer, url, self._auth)

    def verdict(self, answer: Answer, *, invalid_because: str | None = None) -> Outcome:
        """Return the outcome of `answer` by the rules for all targets and the settings' `outcomes`.

        With `invalid_because`, a success does not count, and the outcome is a `Retry`.
        `invalid_because` ends the sentence that gives the reason, such as "but not with
        a JSON object". If `outcomes` defines the status as delivered, `invalid_because`
        has no effect.
        """
        max_hold_s = self._settings.max_hold_s
        outcome = verdict(answer, self._clock, max_hold_s=max_hold_s, table=self._outcome_table)
        if (
            invalid_because is None
            or not isinstance(outcome, Delivered)
            or self._outcome_table.is_changed(answer.status)
        ):
            return answer.explaining(outcome)
        invalid = Retry(
            reason=f"the target answered {answer.status_line}, {invalid_because}",
            answer=answer.excerpt,
            failure=answer.failure,
        )
        return answer.explaining(invalid)

    def asked_pause(self, answer: Answer) -> float | None:
        """Return the seconds that `Retry-After` asks for, limited by the settings."""
        return asked_pause(answer, self._clock, max_hold_s=self._settings.max_hold_s)

    async def _send_with_credentials(self, request: Request, content: bytes) -> Answer:
        if self._credentials is None:
            return await self._exchange(request, content, _NO_PROOF)
        proof = await self._credentials.proof()
        answer = await self._exchange(request, content, proof)
        if answer.status not in _REFUSALS:
            return answer
        renewed = await self._credentials.renewed(proof)
        return answer if renewed is None else await self._exchange(request, content, renewed)

    async def _exchange(self, request: Request, content: bytes, proof: Proof) -> Answer:
        redaction = self._redaction_with(proof)
        if request.secrets:
            redaction |= Redaction.of(request.secrets)
        return await self._connection.exchange(
            Exchange(
                method=request.method,
                url=_url(request, proof),
                headers=self._headers(request, content, proof),
                content=content,
                redaction=redaction,
                sent=self._sent(request, content, redaction),
            )
        )

    def _sent(self, request: Request, content: bytes, redaction: Redaction) -> SentRequest:
        return SentRequest(
            method=request.method, url=request.url, content=content, redaction=redaction, parts=self._parts
        )

    def _headers(self, request: Request, content: bytes, proof: Proof) -> Mapping[str, str]:
        headers = {"traceparent": request.traceparent} if request.traceparent else {}
        headers |= request.content_headers
        headers |= request.headers
        if key := _quoted(request.key):
            headers["Idempotency-Key"] = headers["webhook-id"] = key
        if self._signer.keys:
            headers |= self._signer.headers(key, content, now=self._clock.now())
        headers |= proof.headers
        return headers

    def _redaction_with(self, proof: Proof) -> Redaction:
        if self._proven_redaction is None or self._proven_redaction[0] is not proof:
            self._proven_redaction = proof, proof.redaction | self._redaction
        return self._proven_redaction[1]

    def _hold(self, refusal: NoToken) -> Outcome:
        """Return a hold for the time that the token endpoint asks for, or for a default time."""
        answer = refusal.answer or Answer(status=0)
        # `outcomes` applies only to the target, not to its token endpoint.
        max_hold_s = self._settings.max_hold_s
        outcome = verdict(answer, self._clock, max_hold_s=max_hold_s) if answer.retry_after else None
        after_s = outcome.after_s if isinstance(outcome, Hold) else refusal.after_s
        # The answer of a token endpoint is not kept, because it can contain a token in an
        # unexpected form.
        return Hold(
            reason=str(refusal),
            after_s=after_s,
            alert=answer.status in _NO_CLIENT,
            failure=refusal.failure,
        )


def _content(request: Request) -> bytes | Outcome:
    try:
        return request.content
    except orjson.JSONEncodeError as exc:
        return Reject(
            reason=f"the body can't be written as JSON: {exc}",
            hint="correct `body` in the subscriber's configuration",
            sent=False,
        )


def _url(request: Request, proof: Proof) -> URL:
    return request.url.update_query(proof.query) if proof.query else request.url


def _host(url: URL) -> str:
    return url.raw_authority.rpartition("@")[2]


def codes_in(url: str) -> tuple[str, ...]:
    """Return the possible secrets in a URL's query and path; some targets identify clients by such secrets.

    Each value of the query is returned as written, as sent, and decoded, because a
    target can repeat any form.
    """
    parsed = URL(url)
    again = parsed.with_query(parsed.query)
    written = [pair.partition("=")[2] for form in (url, str(parsed), str(again)) for pair in _pairs(form)]
    codes = (code for code in (*written, *parsed.query.values()) if len(code) >= _LIKE_A_SECRET)
    return (*codes, *filter(_TOKEN.fullmatch, parsed.raw_path.split("/")))


def _pairs(url: str) -> list[str]:
    return url.partition("#")[0].rpartition("?")[2].split("&")


def _quoted(key: str) -> str:
    """Return `key` percent-encoded for a header.

    Full stops are encoded as well, because a full stop ends the id in a signed text.
    """
    # Nearly every key consists of such characters.
    quoted = key if _PLAIN.fullmatch(key) else quote(key, safe=_HEADER_SAFE)
    return quoted.replace(".", "%2E")
