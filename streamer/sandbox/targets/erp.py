"""ERP receiver: documents by collection and external id."""

from typing import Self

from aiohttp import web

from streamer.clock import Clock
from streamer.events import JsonObject
from streamer.sandbox.targets.idempotency import IdempotencyStore
from streamer.sandbox.targets.receiver import Receiver, answer, json_object, key_of
from streamer.sandbox.targets.token_endpoint import TokenEndpoint


class ErpReceiver(Receiver):
    """Takes `PUT` and `PATCH {url}/api/{collection}/{external_id}` and `POST {url}/api/{collection}`.

    A new document gets the next number; writing it again raises its version.
    `documents` holds them by collection and external id, or by number where
    they have none. With `require_oauth`, requests need a token of
    `{url}/oauth/token`.
    """

    def __init__(self, clock: Clock, *, port: int = 0) -> None:
        super().__init__(clock, port=port)
        self.documents: dict[tuple[str, str], JsonObject] = {}
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
        ]

    def is_exempt(self, request: web.Request) -> bool:
        """Return whether `request` is a token request."""
        return request.path == "/oauth/token"

    async def _token(self, request: web.Request) -> web.Response:
        if self.tokens is None:
            return answer(404, {"error": "not_found"})
        return await self.tokens.handle(request)

    async def _write(self, request: web.Request) -> web.Response:
        if self.tokens is not None and not self.tokens.accepts(request):
            return answer(401, {"error": "invalid_token"}, {"WWW-Authenticate": "Bearer"})
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

    def _store(
        self, collection: str, external_id: str | None, document: JsonObject, *, merge: bool
    ) -> tuple[int, JsonObject]:
        number = f"{collection[:3].upper()}-{len(self.documents) + 1:06d}"
        document_key = (collection, external_id or number)
        known = self.documents.get(document_key)
        stored = {
            "number": known["number"] if known else number,
            "version": known["version"] + 1 if known else 1,
            "document": {**known["document"], **document} if known and merge else document,
        }
        self.documents[document_key] = stored
        summary = {"number": stored["number"], "external_id": document_key[1], "version": stored["version"]}
        return (200, {**summary, "status": "updated"}) if known else (201, {**summary, "status": "created"})
