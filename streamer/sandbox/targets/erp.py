"""ERP receiver: documents by collection and external id."""

from itertools import count
from typing import Self

from aiohttp import web

from streamer.clock import Clock
from streamer.events import JsonObject
from streamer.sandbox.targets.idempotency import IdempotencyStore
from streamer.sandbox.targets.receiver import Receiver, answer, json_object, key_of
from streamer.sandbox.targets.token_endpoint import TokenEndpoint


class ErpReceiver(Receiver):
    """Takes `PUT`, `PATCH`, `DELETE {url}/api/{collection}/{external_id}` and `POST {url}/api/{collection}`.

    A new document gets the next number; writing it again raises its version. `PUT`
    replaces a document, and `PATCH` keeps the members that the request does not name.
    `documents` has the documents by collection and external id, or by number if a
    document has no external id. After `require_oauth`, requests need a token from
    `{url}/oauth/token`.
    """

    def __init__(self, clock: Clock, *, port: int = 0) -> None:
        super().__init__(clock, port=port)
        self.documents: dict[tuple[str, str], JsonObject] = {}
        self._numbers = count(1)
        self.idempotency = IdempotencyStore()
        self.tokens: TokenEndpoint | None = None

    def require_oauth(self, client_id: str, client_secret: str, *, lifetime_s: float = 3600.0) -> Self:
        """Refuse requests without a valid token of this client."""
        self.tokens = TokenEndpoint(
            self._clock, client_id=client_id, client_secret=client_secret, lifetime_s=lifetime_s
        )
        return self

    def routes(self) -> list[web.RouteDef]:
        """Return the routes of the token endpoint and the documents."""
        return [
            web.post("/oauth/token", self._token),
            web.post("/api/{collection}", self._write),
            web.put("/api/{collection}/{external_id}", self._write),
            web.patch("/api/{collection}/{external_id}", self._write),
            web.delete("/api/{collection}/{external_id}", self._delete),
        ]

    def is_exempt(self, request: web.Request) -> bool:
        """Return whether `request` is a token request."""
        return request.path == "/oauth/token"

    async def _token(self, request: web.Request) -> web.Response:
        if self.tokens is None:
            return answer(404, {"error": "not_found"})
        return await self.tokens.handle(request)

    async def _write(self, request: web.Request) -> web.Response:
        if not self._is_known(request):
            return _unauthorized()
        document = await json_object(request)
        if document is None:
            return answer(400, {"error": "not_a_json_object"})
        collection = request.match_info["collection"]
        external_id = request.match_info.get("external_id")
        asked = {"method": request.method, "path": request.path, "document": document}
        return self.idempotency.once(
            key_of(request),
            asked,
            lambda: self._store(collection, external_id, document, merge=request.method == "PATCH"),
        )

    async def _delete(self, request: web.Request) -> web.Response:
        if not self._is_known(request):
            return _unauthorized()
        key = (request.match_info["collection"], request.match_info["external_id"])
        asked = {"method": request.method, "path": request.path}
        return self.idempotency.once(key_of(request), asked, lambda: self._discard(key))

    def _is_known(self, request: web.Request) -> bool:
        return self.tokens is None or self.tokens.accepts(request)

    def _discard(self, key: tuple[str, str]) -> tuple[int, JsonObject]:
        if self.documents.pop(key, None) is None:
            return 404, {"error": "no_such_document"}
        return 200, {"external_id": key[1], "status": "deleted"}

    def _store(
        self, collection: str, external_id: str | None, document: JsonObject, *, merge: bool
    ) -> tuple[int, JsonObject]:
        known = self.documents.get((collection, external_id or ""))
        number = known["number"] if known else f"{collection[:3].upper()}-{next(self._numbers):06d}"
        document_key = (collection, external_id or number)
        stored = {
            "number": number,
            "version": known["version"] + 1 if known else 1,
            "document": {**known["document"], **document} if known and merge else document,
        }
        self.documents[document_key] = stored
        summary = {"number": stored["number"], "external_id": document_key[1], "version": stored["version"]}
        return (200, {**summary, "status": "updated"}) if known else (201, {**summary, "status": "created"})


def _unauthorized() -> web.Response:
    return answer(401, {"error": "invalid_token"}, {"WWW-Authenticate": "Bearer"})
