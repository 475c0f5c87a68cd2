"""ERP plugin, which creates or updates documents over REST and JSON, or calls an operation over SOAP."""

from typing import Final, Literal, Self
from urllib.parse import quote

from pydantic import Field, model_validator
from yarl import URL

from streamer.cloud_events import data_of
from streamer.events import Delivery, Outcome, Reject, Skip
from streamer.ports import PluginContext
from subscribers.expression import Expression, Query
from subscribers.http import Answer, HttpTarget, Request, RequestSubscriber, TargetSettings
from subscribers.soap import SoapService, SoapSettings

_GONE = frozenset({404, 410})
_OF_REST = ("method", "external_id")


class ErpSettings(TargetSettings):
    """Address of the documents, and the format of the requests."""

    method: Literal["PUT", "PATCH", "POST"] = Field(
        default="PUT",
        description=(
            "method of the requests that write a document; PUT and PATCH requests go to "
            "{url}/{external_id}, POST requests to {url}"
        ),
    )
    deletions: Literal["skip", "delete", "write"] = Field(
        default="skip",
        description="request for a deleted record; skip: no request; delete: DELETE {url}/{external_id}, or "
        "soap.delete_operation; write: the same request as for other events",
    )
    external_id: Expression = Field(
        default="subject",
        description="JMESPath expression over the event that gives the document's external id",
    )
    answer: Literal["json", "any"] = Field(
        default="json",
        description="answers with a 2xx status that count as delivered; json: only answers with a JSON "
        "object, a SOAP envelope, or no body; any: all answers",
    )
    soap: SoapSettings | None = Field(
        default=None,
        description="settings for calling a SOAP operation, instead of writing a document over REST",
    )

    @model_validator(mode="after")
    def _keys_have_an_effect(self) -> Self:
        if self.soap is not None and (unused := self.model_fields_set.intersection(_OF_REST)):
            raise ValueError(
                f"{min(unused)} has no effect with soap, because every SOAP request is a POST to url"
            )
        return self

    @model_validator(mode="after")
    def _deletion_has_an_address(self) -> Self:
        if self.soap is not None:
            if self.deletions == "delete" and self.soap.delete_operation is None:
                raise ValueError("deletions: delete needs soap.delete_operation")
        elif self.method == "POST" and self.deletions == "delete":
            raise ValueError(
                "deletions: delete needs method PUT or PATCH, because with POST a document has no "
                "address of its own"
            )
        return self


class Erp(RequestSubscriber):
    """Upserts one document for each event; the receipt keeps values from the ERP's answer.

    With `soap`, the plugin calls an operation for each event instead. The content of a
    request is the subscriber's `content` or `body`, or without both, the event's data.
    With `soap`, `content` can't be used. A gap event is skipped, because it has no
    fields. `deletions` decides what happens after a deletion. If the ERP does not know
    the document, the deletion is skipped. An event without any field of the body is
    skipped, because an empty document would replace the existing one.
    """

    Settings = ErpSettings
    takes_content: Final = True
    takes_text: Final = False

    def __init__(self, settings: ErpSettings, context: PluginContext) -> None:
        secrets = settings.soap.secrets if settings.soap is not None else ()
        super().__init__(HttpTarget.of(settings, context, secrets=secrets))
        self._settings = settings
        self._url = URL(settings.url)
        self._external_id = Query(settings.external_id)
        self._service = None if settings.soap is None else self._service_of(settings.soap, context)

    def _service_of(self, soap: SoapSettings, context: PluginContext) -> SoapService:
        return SoapService(
            self._http,
            soap,
            url=self._settings.url,
            clock=context.clock,
            takes_any_answer=self._settings.answer == "any",
        )

    async def deliver(self, delivery: Delivery, /) -> Outcome:
        """Write or delete the document once, and return the outcome."""
        answer = await self.exchange(delivery)
        if not isinstance(answer, Answer):
            return answer
        if self._service is not None:
            return self._service.outcome(answer)
        # A 404 without JSON comes from something else than the ERP, such as a proxy at a wrong url.
        if self._deletes(delivery) and answer.status in _GONE and self._is_valid(answer):
            return Skip(reason="nothing to delete: the ERP does not have this document")
        return self._outcome(answer)

    def request(self, delivery: Delivery, /) -> Request | Outcome:
        """Return the request to the ERP, or the outcome if no request is needed."""
        deletes = self._deletes(delivery)
        if (reason := self._skipped_because(delivery, deletes=deletes)) is not None:
            return Skip(reason=reason, sent=False)
        if self._service is not None:
            return self._service.request(delivery, deletes=deletes)
        return self._of_document(delivery, deletes=deletes)

    def _deletes(self, delivery: Delivery) -> bool:
        return delivery.event.is_deletion and self._settings.deletions == "delete"

    def _of_document(self, delivery: Delivery, *, deletes: bool) -> Request | Outcome:
        url = self._document(delivery)
        if url is None:
            return Reject(
                reason=f"external_id ({self._settings.external_id}) gives no id for this event",
                hint=(
                    "correct external_id, so that the expression gives a text or a whole number for "
                    "every event of this subscriber"
                ),
                sent=False,
            )
        if deletes:
            return Request(method="DELETE", url=url, key=delivery.key, traceparent=delivery.traceparent)
        return Request(
            method=self._settings.method,
            url=url,
            key=delivery.key,
            body=data_of(delivery),
            ready=delivery.content,
            traceparent=delivery.traceparent,
        )

    def _skipped_because(self, delivery: Delivery, *, deletes: bool) -> str | None:
        if delivery.event.is_gap:
            return "a gap event has no fields to write"
        if delivery.event.is_deletion and self._settings.deletions == "skip":
            return "the record was deleted, and the setting deletions is skip"
        if delivery.body == {} and not deletes:
            return "the event has none of the fields that the subscriber's body uses"
        return None

    def _document(self, delivery: Delivery) -> URL | None:
        if self._settings.method == "POST":
            return self._url
        external_id = self._external_id.name_of(delivery)
        if external_id is None:
            return None
        # The query is kept, because some ERPs have the client or company in it.
        document = self._url.joinpath(quote(external_id, safe=""), encoded=True)
        return document.with_query(self._url.query)

    def _outcome(self, answer: Answer) -> Outcome:
        if self._is_valid(answer):
            return self._http.verdict(answer)
        # A login page or a proxy also answers 200. A retry is safe, because the ERP recognises
        # the idempotency key.
        return self._http.verdict(
            answer, invalid_because="but not with a JSON object: check url, or set answer: any"
        )

    def _is_valid(self, answer: Answer) -> bool:
        return self._settings.answer == "any" or not answer.body or answer.json is not None
