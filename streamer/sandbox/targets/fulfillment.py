"""Fulfilment receiver: ships orders, and cancels shipments that have not left yet."""

from aiohttp import web

from streamer.clock import Clock
from streamer.events import JsonObject
from streamer.sandbox.targets.idempotency import IdempotencyStore
from streamer.sandbox.targets.receiver import Receiver, answer, json_object, key_of


class FulfillmentReceiver(Receiver):
    """Takes `POST {url}/shipments` and `POST {url}/shipments/{id}/cancel`.

    A shipment is found by its own id or by the id of its order. `shipments` has the
    shipments by order; a second request for an order returns the first shipment. After
    `require_api_key`, requests must have the key in `X-API-Key`.
    """

    def __init__(self, clock: Clock, *, port: int = 0) -> None:
        super().__init__(clock, port=port)
        self.shipments: dict[str, JsonObject] = {}
        self.idempotency = IdempotencyStore()
        self._api_key: str | None = None

    def require_api_key(self, key: str) -> None:
        """Refuse requests without `key`."""
        self._api_key = key

    def mark_shipped(self, order: str) -> None:
        """Mark the shipment of `order` as shipped: it can no longer be cancelled."""
        self.shipments[order]["state"] = "shipped"

    def routes(self) -> list[web.RouteDef]:
        """Return the routes for shipping and cancelling."""
        return [
            web.post("/shipments", self._ship),
            web.post("/shipments/{id}/cancel", self._cancel),
        ]

    async def _ship(self, request: web.Request) -> web.Response:
        if not self._is_known(request):
            return answer(401, {"error": "invalid_api_key"})
        body = await json_object(request)
        order = body.get("order") if body else None
        if body is None or not isinstance(order, str) or not order:
            return answer(422, {"error": "order_missing"})
        return self.idempotency.once(
            key_of(request), {"path": request.path, **body}, lambda: self._create(order)
        )

    async def _cancel(self, request: web.Request) -> web.Response:
        if not self._is_known(request):
            return answer(401, {"error": "invalid_api_key"})
        shipment = self._find(request.match_info["id"])
        if shipment is None:
            return answer(404, {"error": "no_such_shipment"})
        return self.idempotency.once(key_of(request), {"path": request.path}, lambda: _cancelled(shipment))

    def _create(self, order: str) -> tuple[int, JsonObject]:
        known = self.shipments.get(order)
        if known is not None:
            return 200, dict(known)
        shipment = {"shipment": f"SHP-{len(self.shipments) + 1:06d}", "order": order, "state": "accepted"}
        self.shipments[order] = shipment
        return 201, dict(shipment)

    def _find(self, name: str) -> JsonObject | None:
        by_order = self.shipments.get(name)
        if by_order is not None or not name.startswith("SHP-"):
            return by_order
        return next((found for found in self.shipments.values() if found["shipment"] == name), None)

    def _is_known(self, request: web.Request) -> bool:
        return self._api_key is None or request.headers.get("X-API-Key") == self._api_key


def _cancelled(shipment: JsonObject) -> tuple[int, JsonObject]:
    if shipment["state"] == "shipped":
        return 409, {"error": "already_shipped"}
    shipment["state"] = "cancelled"
    return 200, dict(shipment)
