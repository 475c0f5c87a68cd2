"""A target that takes JSON by HTTP."""

from contextlib import AsyncExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import orjson
from yarl import URL

from streamer.events import Hold, Outcome, Reject, Retry
from streamer.ports import PluginContext
from subscribers.http.answer import Answer
from subscribers.http.auth import Auth
from subscribers.http.connection import Connection, Exchange, Unreached
from subscribers.http.credentials import NoToken, Proof, credentials
from subscribers.http.redaction import Redaction
from subscribers.http.settings import HttpSettings
from subscribers.http.verdict import verdict

_REFUSALS = frozenset({401, 403})

# A key is made of ids that came from outside; a header takes visible ASCII.
_HEADER_SAFE = "!#$&'()*+,/:;=?@[]~|"


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
    the IETF draft, and as `webhook-id`, the name of Standard Webhooks.
    """

    def __init__(
        self,
        settings: HttpSettings,
        auth: Auth,
        context: PluginContext,
        *,
        secrets: tuple[str, ...] = (),
    ) -> None:
        """Prepare; nothing is opened yet. `secrets` are kept out of answers beside those of `auth`."""
        self._settings = settings
        self._clock = context.clock
        self._connection = Connection(settings, context.clock)
        self._credentials = credentials(auth, self._connection, context.clock)
        self._redaction = Redaction.of(secrets)
        self._open = AsyncExitStack()

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

    async def send(self, request: Request) -> Answer | Outcome:
        """Return what the target answered, or the outcome when it gave no answer.

        A 401 or 403 is answered by one renewal of the credentials, where they
        can be renewed, and by sending once more.
        """
        try:
            content = orjson.dumps(request.body)
        except orjson.JSONEncodeError as exc:
            return Reject(
                reason=f"the body can't be written as JSON: {exc}", hint="change the body's mapping"
            )
        try:
            return await self._proven(request, content)
        except Unreached as exc:
            return Retry(reason=str(exc))
        except NoToken as exc:
            return self._hold(exc)

    def verdict(self, answer: Answer) -> Outcome:
        """Return what `answer` means by the rules that hold for every target."""
        return verdict(answer, self._clock, max_hold_s=self._settings.max_hold_s)

    async def _proven(self, request: Request, content: bytes) -> Answer:
        proof = await self._credentials.proof()
        answer = await self._exchange(request, content, proof)
        if answer.status not in _REFUSALS:
            return answer
        renewed = await self._credentials.renewed(proof)
        return answer if renewed is None else await self._exchange(request, content, renewed)

    async def _exchange(self, request: Request, content: bytes, proof: Proof) -> Answer:
        key = quote(request.key, safe=_HEADER_SAFE)
        return await self._connection.exchange(
            Exchange(
                method=request.method,
                url=request.url,
                headers={
                    "Content-Type": "application/json",
                    "Idempotency-Key": key,
                    "webhook-id": key,
                    **proof.headers,
                },
                content=content,
                redaction=proof.redaction | self._redaction,
            )
        )

    def _hold(self, refusal: NoToken) -> Outcome:
        """Hold for as long as a busy token endpoint asks, or as the failure suggests."""
        answer = refusal.answer or Answer(status=0)
        told = self.verdict(answer) if answer.retry_after else None
        after_s = told.after_s if isinstance(told, Hold) else refusal.after_s
        return Hold(reason=str(refusal), after_s=after_s, answer=answer.excerpt)
