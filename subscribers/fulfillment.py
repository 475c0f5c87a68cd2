"""Fulfilment plugin: asks a service to ship orders, and to cancel shipments."""

from typing import Any
from urllib.parse import quote

from pydantic import Field
from yarl import URL

from streamer.events import Delivery, Outcome, Reject, Skip
from streamer.ports import PluginContext
from subscribers.expression import Expression, Query
from subscribers.http import Answer, HttpSubscriber, HttpTarget, Request, TargetSettings


class FulfillmentSettings(TargetSettings):
    """Address of the service, and the events that ship or cancel."""

    order: Expression = Field(
        default="subject",
        description="JMESPath over the event; finds the order's id, which identifies its shipment",
    )
    cancel_when: Expression | None = Field(
        default=None,
        description="JMESPath over the event; true cancels, as a deletion always does: "
        "data.fields.Status__c == 'Cancelled'",
    )


class Fulfillment(HttpSubscriber):
    """Ships an order with `POST {url}/shipments`; cancels with `POST {url}/shipments/{order}/cancel`.

    It sends the order's id as `order`, with the members of the subscriber's
    `body` or, without one, with the event's `data`. It keeps the service's
    answer: its `shipment`, the `state`, a tracking number.
    """

    Settings = FulfillmentSettings

    def __init__(self, settings: FulfillmentSettings, context: PluginContext) -> None:
        super().__init__(HttpTarget.of(settings, context))
        self._settings = settings
        self._url = URL(settings.url)
        self._shipments = self._below("shipments")
        self._order = Query(settings.order)
        self._cancels = Query(settings.cancel_when) if settings.cancel_when else None

    async def deliver(self, delivery: Delivery, /) -> Outcome:
        """Ask once for the shipment or its cancellation, and return the outcome."""
        if delivery.event.is_gap:
            return Skip(reason="a gap event holds no order to ship", sent=False)
        order = self._order.name_of(delivery)
        if order is None:
            return Reject(
                reason=f"order ({self._settings.order}) finds no id in the event",
                hint="let order find a text or a whole number in every event that arrives here",
                sent=False,
            )
        if self._is_cancellation(delivery):
            return await self._cancel(delivery, order)
        return await self._ship(delivery, order)

    def _is_cancellation(self, delivery: Delivery) -> bool:
        if delivery.event.is_deletion:
            return True
        return self._cancels is not None and self._cancels.of(delivery) is True

    async def _ship(self, delivery: Delivery, order: str) -> Outcome:
        answer = await self._post(delivery, self._shipments, _body(delivery, order))
        return self._outcome(answer) if isinstance(answer, Answer) else answer

    async def _cancel(self, delivery: Delivery, order: str) -> Outcome:
        url = self._below(f"shipments/{quote(order, safe='')}/cancel")
        answer = await self._post(delivery, url, {"order": order})
        if not isinstance(answer, Answer):
            return answer
        # A 404 without JSON does not come from the service, but for example
        # from a proxy at a wrong url.
        if answer.status == 404 and answer.json is not None:  # noqa: PLR2004 - Not Found
            return Skip(reason=f"nothing to cancel: the service knows no shipment of order {order}")
        return self._outcome(answer)

    def _below(self, path: str) -> URL:
        return self._url.joinpath(path, encoded=True).with_query(self._url.query)

    async def _post(self, delivery: Delivery, url: URL, body: Any) -> Answer | Outcome:
        return await self._http.send(Request(method="POST", url=url, key=delivery.key, body=body))

    def _outcome(self, answer: Answer) -> Outcome:
        if not answer.body or answer.json is not None:
            return self._http.verdict(answer)
        # A login page or a proxy also answers 200; repeating is safe.
        return self._http.verdict(answer, invalid_because="but not with a JSON object: check url")


def _body(delivery: Delivery, order: str) -> Any:
    match delivery.body:
        case None:
            return {"order": order, "data": delivery.event.data}
        case dict():
            return {"order": order, **delivery.body}
        case _:
            return delivery.body
