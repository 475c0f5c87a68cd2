"""A target that takes JSON by HTTP."""

from contextlib import AsyncExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import orjson
from yarl import URL

from streamer.events import Delivered, Hold, Outcome, Reject, Retry
from streamer.ports import PluginContext
from subscribers.http.answer import Answer
from subscribers.http.auth import Auth
from subscribers.http.connection import Connection, Exchange, Unreached
from subscribers.http.credentials import NoToken, Proof, credentials
from subscribers.http.meaning import Meanings
from subscribers.http.redaction import Redaction
from subscribers.http.settings import HttpSettings, TargetSettings
from subscribers.http.signing import Signer, Signing
from subscribers.http.verdict import verdict

_REFUSALS = frozenset({401, 403})
# How a token endpoint says that it does not know us.
_NO_CLIENT = frozenset({400, *_REFUSALS})

# A key is made of ids that came from outside; a header takes visible ASCII.
_HEADER_SAFE = "!#$&'()*+,/:;=?@[]~|"

# In a URL's query stand names and numbers, too.
_LIKE_A_SECRET = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What one attempt asks of the target; `key` is the delivery's idempotency key."""

    method: str
    url: URL
    key: str
    body: Any


class HttpTarget:
    """Sends requests to one target and judges what it answers.

    Every request carries its idempotency key as `Idempotency-Key`, the name of
    the IETF draft, and as `webhook-id`, the name of Standard Webhooks, whose
    signatures it carries where secrets are set. Both headers hold the key
    quoted as in a URL, full stops included.
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
        """Prepare; nothing is opened yet. `secrets` are kept out of answers beside those of the settings."""
        self._settings = settings
        self._clock = context.clock
        self._connection = Connection(settings, context.clock)
        self._credentials = credentials(auth, self._connection, context.clock)
        self._signer = Signer.of(signing)
        self._meanings = Meanings(settings.outcomes)
        self._redaction = Redaction.of((*secrets, *self._signer.secrets))
        self._proven_redaction: tuple[Proof, Redaction] | None = None
        self._open = AsyncExitStack()

    @classmethod
    def of(cls, settings: TargetSettings, context: PluginContext) -> Self:
        """Return the target that `settings` describe, with its credentials and signatures."""
        return cls(settings, settings.auth, context, secrets=_codes(settings.url), signing=settings.signing)

    async def __aenter__(self) -> Self:
        """Open the connection; raises `ConfigurationError` for unusable certificates."""
        await self._connection.open()
        self._open.push_async_callback(self._connection.close)
        self._open.push_async_callback(self._credentials.close)
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the connection."""
        await self._open.aclose()

    async def deliver(self, request: Request) -> Outcome:
        """Send once and return what came of it: all that a target without words of its own needs."""
        answer = await self.send(request)
        return self.verdict(answer) if isinstance(answer, Answer) else answer

    async def send(self, request: Request) -> Answer | Outcome:
        """Return what the target answered, or the outcome when it gave no answer.

        A 401 or 403 is answered by one renewal of the credentials, where they
        can be renewed, and by sending once more.
        """
        try:
            content = orjson.dumps(request.body)
        except orjson.JSONEncodeError as exc:
            return Reject(
                reason=f"the body can't be written as JSON: {exc}",
                hint="change the body's mapping",
                sent=False,
            )
        try:
            return await self._proven(request, content)
        except Unreached as exc:
            return Retry(reason=str(exc))
        except NoToken as exc:
            return self._hold(exc)

    def verdict(self, answer: Answer, *, doubt: str | None = None) -> Outcome:
        """Return what `answer` means by the rules for every target and the settings' `outcomes`.

        `doubt` ends a sentence that says why a success is not to be believed,
        such as "but not with a JSON object"; it is then tried again. What
        `outcomes` calls delivered is believed all the same.
        """
        max_hold_s = self._settings.max_hold_s
        outcome = verdict(answer, self._clock, max_hold_s=max_hold_s, meanings=self._meanings)
        if doubt is None or not isinstance(outcome, Delivered) or self._meanings.is_changed(answer.status):
            return outcome
        return Retry(reason=f"the target answered {answer.status_line}, {doubt}", answer=answer.excerpt)

    async def _proven(self, request: Request, content: bytes) -> Answer:
        proof = await self._credentials.proof()
        answer = await self._exchange(request, content, proof)
        if answer.status not in _REFUSALS:
            return answer
        renewed = await self._credentials.renewed(proof)
        return answer if renewed is None else await self._exchange(request, content, renewed)

    async def _exchange(self, request: Request, content: bytes, proof: Proof) -> Answer:
        key = _quoted(request.key)
        return await self._connection.exchange(
            Exchange(
                method=request.method,
                url=request.url,
                headers={
                    "Content-Type": "application/json",
                    "Idempotency-Key": key,
                    "webhook-id": key,
                    **self._signer.headers(key, content, now=self._clock.now()),
                    **proof.headers,
                },
                content=content,
                redaction=self._redaction_with(proof),
            )
        )

    def _redaction_with(self, proof: Proof) -> Redaction:
        if self._proven_redaction is None or self._proven_redaction[0] is not proof:
            self._proven_redaction = proof, proof.redaction | self._redaction
        return self._proven_redaction[1]

    def _hold(self, refusal: NoToken) -> Outcome:
        """Hold for as long as a busy token endpoint asks, or as the failure suggests."""
        answer = refusal.answer or Answer(status=0)
        # What `outcomes` changes is about the target, and not about who gives out its tokens.
        max_hold_s = self._settings.max_hold_s
        told = verdict(answer, self._clock, max_hold_s=max_hold_s) if answer.retry_after else None
        after_s = told.after_s if isinstance(told, Hold) else refusal.after_s
        return Hold(
            reason=str(refusal), after_s=after_s, answer=answer.excerpt, alert=answer.status in _NO_CLIENT
        )


def _codes(url: str) -> tuple[str, ...]:
    """Return what may be a secret in a URL's query, by which some targets know their clients.

    As it is written, as it is sent, and as it is meant: each may be echoed.
    """
    parsed = URL(url)
    again = parsed.with_query(parsed.query)
    written = [pair.partition("=")[2] for form in (url, str(parsed), str(again)) for pair in _pairs(form)]
    return tuple(code for code in (*written, *parsed.query.values()) if len(code) >= _LIKE_A_SECRET)


def _pairs(url: str) -> list[str]:
    return url.partition("#")[0].rpartition("?")[2].split("&")


def _quoted(key: str) -> str:
    """Return `key` as a header takes it, and without the full stop that ends it in what is signed."""
    return quote(key, safe=_HEADER_SAFE).replace(".", "%2E")
