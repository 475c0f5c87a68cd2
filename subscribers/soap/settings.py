"""Settings of a SOAP service."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

import jinja2
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from streamer.expressions.templates import sentence_of
from subscribers.soap.faults import FaultRule
from subscribers.soap.security import UsernameToken
from subscribers.soap.template import NAMES, compile_envelope, names_in

_NAME = r"^[A-Za-z_][\w.-]*$"
_PATH = r"^[A-Za-z_][\w.-]*(/[A-Za-z_][\w.-]*)*(/@[A-Za-z_][\w.-]*)?$"
# Printable ASCII that needs no escaping in quotes.
_ACTION = r"^[ !#-\[\]-~]*$"
_URI = r'^[^\s"<>]+$'


def _text(value: Any) -> Any:
    # YAML reads a version without quotes as a number.
    return str(value) if isinstance(value, float) else value


def _template(source: str) -> str:
    try:
        compile_envelope(source)
    except jinja2.TemplateSyntaxError as exc:
        raise ValueError(f"{sentence_of(exc)}: line {exc.lineno}: {exc.message}") from exc
    for name, line in names_in(source).items():
        if name not in NAMES:
            known = ", ".join(sorted(NAMES))
            raise ValueError(f"uses the unknown name {name} in line {line}; known names: {known}")
    return source


class SoapSettings(BaseModel):
    """SOAP service: its operation, the envelope, and the meaning of its answers."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, defer_build=True)

    version: Annotated[
        Literal["1.1", "1.2"], BeforeValidator(_text, json_schema_input_type=Literal["1.1", "1.2"])
    ] = Field(default="1.1", description="version of SOAP, in quotes")
    operation: str | None = Field(
        default=None,
        pattern=_NAME,
        examples=["CreateInvoice"],
        description="name of the element that wraps the subscriber's body in the SOAP body; required unless "
        "envelope is set",
    )
    namespace: str | None = Field(
        default=None, pattern=_URI, examples=["urn:acme:erp"], description="XML namespace of the operation"
    )
    qualified: bool = Field(
        default=True,
        description="true: all elements have the namespace; false: only the operation's element has the "
        "namespace (as elementFormDefault in the service's schema says)",
    )
    action: str = Field(
        default="",
        pattern=_ACTION,
        examples=["urn:acme:erp/CreateInvoice"],
        description="value of the header SOAPAction, or of the parameter action in SOAP 1.2",
    )
    delete_operation: str | None = Field(
        default=None,
        pattern=_NAME,
        examples=["CancelInvoice"],
        description="name of the operation's element for a deleted record, with deletions: delete",
    )
    delete_action: str = Field(
        default="",
        pattern=_ACTION,
        examples=["urn:acme:erp/CancelInvoice"],
        description="value of the header SOAPAction, or of the parameter action, for delete_operation",
    )
    key_element: str | None = Field(
        default=None,
        pattern=_NAME,
        examples=["RequestId"],
        description=(
            "name of an element that contains the delivery's key; the element comes first in the operation"
        ),
    )
    envelope: Annotated[str, AfterValidator(_template)] | None = Field(
        default=None, description="Jinja2 template of the whole envelope; Streamer escapes the values for XML"
    )
    security: UsernameToken | None = Field(
        default=None, description="settings of the WS-Security header; default: no such header"
    )
    faults: tuple[FaultRule, ...] = Field(
        default=(),
        description=(
            "rules for outcomes of faults that differ from the default; the first rule that matches decides"
        ),
    )
    result: Mapping[str, Annotated[str, Field(pattern=_PATH, examples=["Invoice/Number"])]] = Field(
        default_factory=dict,
        description="values that the receipt keeps from the answer: a path for each name, such as {number: "
        "InvoiceNumber, state: Invoice/@state}; default: the members of the answer's first element",
    )

    @model_validator(mode="after")
    def _envelope_is_complete(self) -> Self:
        if self.envelope is None:
            if self.operation is None:
                raise ValueError("set operation or envelope")
            return self
        if self.key_element is not None:
            raise ValueError(
                "key_element has no effect with envelope: use {{ delivery_key }} in the envelope"
            )
        if self.security is not None and "security" not in names_in(self.envelope):
            raise ValueError(
                "envelope must contain {{ security }} in the SOAP header, because security is set"
            )
        return self

    @property
    def secrets(self) -> tuple[str, ...]:
        """Secrets of the security header that an answer must not repeat."""
        return self.security.secrets if self.security is not None else ()
