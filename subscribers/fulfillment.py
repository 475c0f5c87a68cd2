"""Fulfilment plugin, which asks a service to ship orders and to cancel shipments."""

from http import HTTPStatus
from typing import Any, Final
from urllib.parse import quote

from pydantic import Field
from yarl import URL

from streamer.events import Delivery, FailureClass, Outcome, Reject, Skip
from streamer.ports import PluginContext
from subscribers.expression import Expression, Query, Unevaluated
from subscribers.http import Answer, HttpTarget, Request, RequestSubscriber, TargetSettings


class FulfillmentSettings(TargetSettings):
    """Address of the service, the order's id, and the condition for a cancellation."""

    order: Expression = Field(
        default="subject",
        description=(
            "JMESPath expression over the event that gives the order's id; the id identifies the shipment"
        ),
    )
    cancel_when: Expression | None = Field(
        default=None,
        description="JMESPath expression over the event, such as data.fields.Status__c == 'Cancelled'; if "
        "the value is true, Streamer cancels the shipment; a deletion always cancels the shipment",
    )


class Fulfillment(RequestSubscriber):
    """Ships an order by `POST {url}/shipments`; cancels by `POST {url}/shipments/{order}/cancel`.

    A request contains the order's id as `order`, and the members of the subscriber's
    `body`. Without a `body`, the request contains the event's data as `data`. The
    receipt keeps values from the service's answer, such as `shipment` and `state`.
    """

    Settings = FulfillmentSettings
    takes_content: Final = True
    takes_text: Final = False

    def __init__(self, settings: FulfillmentSettings, context: PluginContext) -> None:
        super().__init__(HttpTarget.of(settings, context))
        self._settings = settings
        self._url = URL(settings.url)
        self._shipments = self._below("shipments")
        self._order = Query(settings.order)
        self._cancels = Query(settings.cancel_when) if settings.cancel_when else None

    async def deliver(self, delivery: Delivery, /) -> Outcome:
        """Request the shipment or the cancellation once, and return the outcome."""
        answer = await self.exchange(delivery)
        if not isinstance(answer, Answer):
            return answer
        # A 404 without JSON comes from something else than the service, such as a proxy at a
        # wrong url.
        is_unknown = answer.status == HTTPStatus.NOT_FOUND and answer.json is not None
        if is_unknown and self._is_cancellation(delivery):
            order = self._order.name_of(delivery)
            return Skip(reason=f"nothing to cancel: the service has no shipment of order {order}")
        return self._outcome(answer)

    def request(self, delivery: Delivery, /) -> Request | Outcome:
        """Return the request for the shipment or its cancellation, or the outcome if no request is needed."""
        if delivery.event.is_gap:
            return Skip(reason="a gap event has no order to ship", sent=False)
        order = self._order.name_of(delivery)
        if order is None:
            return Reject(
                reason=f"order ({self._settings.order}) gives no id for this event",
                hint=(
                    "correct order, so that the expression gives a text or a whole number for every "
                    "event of this subscriber"
                ),
                sent=False,
            )
        try:
            cancels = self._is_cancellation(delivery)
        except Unevaluated as error:
            # Shipping an order that should be cancelled would be worse than doing nothing.
            return Reject(
                reason=f"cancel_when {error}",
                hint="correct cancel_when, so that the expression is true or false for every event of "
                "this subscriber; then redrive the dead letter",
                sent=False,
                failure=FailureClass.BROKEN_ROUTE,
            )
        url, body, ready = self._shipments, _body(delivery, order), delivery.content
        if cancels:
            url, body = self._below(f"shipments/{quote(order, safe='')}/cancel"), {"order": order}
            ready = None
        return Request(
            method="POST",
            url=url,
            key=delivery.key,
            body=body,
            ready=ready,
            traceparent=delivery.traceparent,
        )

    def _is_cancellation(self, delivery: Delivery) -> bool:
        if delivery.event.is_deletion:
            return True
        return self._cancels is not None and self._cancels.found(delivery) is True

    def _below(self, path: str) -> URL:
        return self._url.joinpath(path, encoded=True).with_query(self._url.query)

    def _outcome(self, answer: Answer) -> Outcome:
        if not answer.body or answer.json is not None:
            return self._http.verdict(answer)
        # A login page or a proxy also answers 200; a retry is safe.
        return self._http.verdict(answer, invalid_because="but not with a JSON object: check url")


def _body(delivery: Delivery, order: str) -> Any:
    match delivery.body:
        case None:
            return {"order": order, "data": delivery.event.data}
        case dict():
            return {"order": order, **delivery.body}
        case _:
            return delivery.body
