"""ERP plugin: creates or updates a document over REST and JSON."""

from typing import Any, Literal
from urllib.parse import quote

from pydantic import Field
from yarl import URL

from streamer.events import Delivery, Outcome, Reject, Skip
from streamer.ports import PluginContext
from subscribers.expression import Expression, Query
from subscribers.http import Answer, HttpSubscriber, HttpTarget, Request, TargetSettings

# Events without a record's fields would empty its document.
_WITHOUT_FIELDS = (".deleted", ".gap")


class ErpSettings(TargetSettings):
    """Address of the documents, and the form of the requests."""

    method: Literal["PUT", "PATCH", "POST"] = Field(
        default="PUT", description="PUT and PATCH go to {url}/{external_id}, POST to {url}"
    )
    external_id: Expression = Field(
        default="subject", description="JMESPath over the event; finds the document's external id"
    )
    answer: Literal["json", "any"] = Field(
        default="json", description="any: a 2xx counts as delivered even without a JSON object"
    )


class Erp(HttpSubscriber):
    """Upserts one document for each event, and keeps the ERP's JSON answer, such as an invoice's number.

    The body is the subscriber's `body`. Without one it is the event's data,
    and deletions and gaps are skipped.
    """

    Settings = ErpSettings

    def __init__(self, settings: ErpSettings, context: PluginContext) -> None:
        super().__init__(HttpTarget.of(settings, context))
        self._settings = settings
        self._url = URL(settings.url)
        self._external_id = Query(settings.external_id)

    async def deliver(self, delivery: Delivery, /) -> Outcome:
        """Write the document once, and return the outcome."""
        if delivery.body is None and delivery.event.type.endswith(_WITHOUT_FIELDS):
            return Skip(reason="the event holds no fields to write: set body to write one anyway", sent=False)
        url = self._document(delivery)
        if url is None:
            return Reject(
                reason=f"external_id ({self._settings.external_id}) finds no id in the event",
                hint="let external_id find a text or a whole number in every event that arrives here",
                sent=False,
            )
        answer = await self._http.send(
            Request(method=self._settings.method, url=url, key=delivery.key, body=_body(delivery))
        )
        return self._outcome(answer) if isinstance(answer, Answer) else answer

    def _document(self, delivery: Delivery) -> URL | None:
        if self._settings.method == "POST":
            return self._url
        external_id = self._external_id.name_of(delivery)
        if external_id is None:
            return None
        # The query stays: some ERPs name the client or company in it.
        document = self._url.joinpath(quote(external_id, safe=""), encoded=True)
        return document.with_query(self._url.query)

    def _outcome(self, answer: Answer) -> Outcome:
        if self._is_valid(answer):
            return self._http.verdict(answer)
        # A login page or a proxy also answers 200. Repeating is safe, because
        # the ERP knows the idempotency key.
        return self._http.verdict(
            answer, invalid_because="but not with a JSON object: check url, or set answer: any"
        )

    def _is_valid(self, answer: Answer) -> bool:
        return self._settings.answer == "any" or not answer.body or answer.json is not None


def _body(delivery: Delivery) -> Any:
    return delivery.event.data if delivery.body is None else delivery.body
