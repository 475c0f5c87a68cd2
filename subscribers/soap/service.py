"""SOAP service, with its requests and the outcomes of its answers."""

from dataclasses import replace

from yarl import URL

from streamer.clock import Clock
from streamer.events import Delivered, Delivery, Disable, FailureClass, Hold, Outcome, Reject, Retry, Skip
from streamer.xml.elements import UnfitForXml
from subscribers.holds import RECHECK_S
from subscribers.http import Answer, HttpTarget, OutcomeKind, Request
from subscribers.soap.answer import SoapAnswer, read_answer
from subscribers.soap.envelope import Envelope, Envelopes
from subscribers.soap.faults import ReceivedFault, kind_by_default, kind_by_rule
from subscribers.soap.settings import SoapSettings

# In the HTTP bindings of SOAP 1.1 and 1.2, faults have these statuses; some services use 200.
_OF_FAULTS = frozenset({200, 202, 400, 500})


class SoapService:
    """Operations of one service at an `http` target.

    If a rule of the settings matches a fault, the rule decides the outcome. Otherwise,
    the fault's code decides the outcome, if SOAP uses the answer's status for faults.
    Every other answer has the outcome of its status.
    """

    def __init__(
        self, http: HttpTarget, settings: SoapSettings, *, url: str, clock: Clock, takes_any_answer: bool
    ) -> None:
        self._http = http
        self._settings = settings
        self._url = URL(url)
        self._clock = clock
        self._takes_any_answer = takes_any_answer
        self._envelopes = Envelopes(settings)

    def request(self, delivery: Delivery, *, deletes: bool = False) -> Request | Reject:
        """Return the request that calls the operation, or a rejection if no envelope can be created."""
        if delivery.content is not None:
            return Reject(
                reason="the subscriber has content, which can't be used with soap",
                hint=(
                    "write the envelope in soap.envelope in the subscriber's settings, and remove "
                    "content. Then redrive the dead letter"
                ),
                sent=False,
            )
        envelope = self._envelope(delivery, deletes=deletes)
        if not isinstance(envelope, Envelope):
            return envelope
        return Request(
            method="POST",
            url=self._url,
            key=delivery.key,
            ready=envelope.content,
            headers=envelope.headers,
            secrets=envelope.secrets,
            traceparent=delivery.traceparent,
        )

    def _envelope(self, delivery: Delivery, *, deletes: bool) -> Envelope | Reject:
        try:
            return self._envelopes.of(delivery, deletes=deletes, now=self._clock.now())
        except UnfitForXml as exc:
            return Reject(
                reason=f"the body can't be written as XML: {exc}",
                hint=(
                    "correct body, or soap.envelope in the subscriber's settings. Then redrive the "
                    "dead letter"
                ),
                sent=False,
            )
        except Exception as exc:  # noqa: BLE001 - a template is an operator's code and can raise any error
            return Reject(
                reason=f"soap.envelope fails on this event: {type(exc).__name__}: {exc}",
                hint="correct soap.envelope in the subscriber's settings. Then redrive the dead letter",
                sent=False,
                failure=FailureClass.BROKEN_ROUTE,
            )

    def outcome(self, answer: Answer) -> Outcome:
        """Return the outcome of `answer`, by its fault or its status."""
        found = read_answer(answer.body)
        if found is not None and found.fault is not None:
            return answer.explaining(self._of_fault(answer, found, found.fault))
        if found is None and answer.body and not self._takes_any_answer:
            # A login page or a proxy also answers 200.
            return self._http.verdict(answer, invalid_because="but not with a SOAP envelope: check url")
        outcome = self._http.verdict(answer)
        if isinstance(outcome, Delivered):
            return Delivered(answer=found.receipt(self._settings.result) if found is not None else {})
        return outcome

    def _of_fault(self, answer: Answer, found: SoapAnswer, fault: ReceivedFault) -> Outcome:
        said = f"the service answered with the fault {fault}"
        kind = kind_by_rule(self._settings.faults, fault)
        if kind is not None:
            return self._of_kind(kind, answer, found, said)
        kind = kind_by_default(fault) if answer.status in _OF_FAULTS else None
        if kind is None:
            return self._http.verdict(answer, invalid_because=f"but with the fault {fault}")
        if kind is OutcomeKind.HOLD:
            return self._refused(answer, fault, said)
        return self._of_kind(kind, answer, found, said)

    def _refused(self, answer: Answer, fault: ReceivedFault, said: str) -> Hold:
        if not fault.is_of_security:
            return replace(self._held(answer, f"{said}: check soap in the settings"), alert=True)
        held = self._held(
            answer, f"{said}: check soap.security in the settings, and the clock of this machine"
        )
        return replace(held, alert=True, failure=FailureClass.REFUSED_CREDENTIALS)

    def _of_kind(self, kind: OutcomeKind, answer: Answer, found: SoapAnswer, said: str) -> Outcome:
        match kind:
            case OutcomeKind.DELIVERED:
                return Delivered(answer=found.receipt(self._settings.result))
            case OutcomeKind.SKIP:
                return Skip(reason=f"{said}, and soap.faults maps this fault to skip")
            case OutcomeKind.DISABLE:
                return Disable(reason=f"{said}: the service wants no more events", answer=answer.excerpt)
            case OutcomeKind.HOLD:
                return self._held(answer, f"{said}: fix the problem, or change soap.faults")
            case OutcomeKind.RETRY:
                after_s = self._http.asked_pause(answer)
                return Retry(reason=said, after_s=after_s, answer=answer.excerpt, failure=_class_of(answer))
            case OutcomeKind.REJECT:
                hint = "compare the envelope with what the service expects, or change soap.faults"
                return Reject(reason=said, hint=hint, answer=answer.excerpt)

    def _held(self, answer: Answer, reason: str) -> Hold:
        after_s = self._http.asked_pause(answer) or RECHECK_S
        return Hold(reason=reason, after_s=after_s, answer=answer.excerpt, failure=_class_of(answer))


def _class_of(answer: Answer) -> FailureClass:
    """Return the failure class of a fault's status; with a success status, a fault is a refusal."""
    return FailureClass.REJECTED if answer.failure is FailureClass.UNEXPECTED_ANSWER else answer.failure
