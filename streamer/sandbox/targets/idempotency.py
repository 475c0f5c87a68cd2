"""Store of idempotency keys with their answers."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import web

from streamer.events import JsonObject
from streamer.sandbox.targets.receiver import answer


@dataclass(frozen=True, slots=True, kw_only=True)
class _Done:
    request: JsonObject
    status: int
    body: JsonObject


class IdempotencyStore:
    """Returns the first answer again for a request with a repeated key.

    A known key with another request is refused with 422, as the IETF draft on the
    Idempotency-Key header requires. With `conflict`, a repeated key gets 409 instead,
    as in some APIs.
    """

    def __init__(self, *, limit: int = 100_000) -> None:
        """Build an empty store that remembers the last `limit` keys."""
        self.conflict = False
        self._limit = limit
        self._done: OrderedDict[str, _Done] = OrderedDict()

    def once(
        self, key: str | None, request: JsonObject, act: Callable[[], tuple[int, JsonObject]]
    ) -> web.Response:
        """Return the answer of `act` for a new key, and the stored answer for a known key."""
        if key is None:
            return answer(400, {"error": "idempotency_key_missing"})
        done = self._done.get(key)
        if done is not None:
            return self._repeated(done, request)
        status, body = act()
        self._remember(key, _Done(request=request, status=status, body=body))
        return answer(status, body)

    def _repeated(self, done: _Done, request: JsonObject) -> web.Response:
        if done.request != request:
            return answer(422, {"error": "idempotency_key_reused"})
        if self.conflict:
            return answer(409, {"error": {"code": "already_processed"}, **done.body})
        return answer(done.status, done.body, {"Idempotent-Replayed": "true"})

    def _remember(self, key: str, done: _Done) -> None:
        self._done[key] = done
        if len(self._done) > self._limit:
            self._done.popitem(last=False)
