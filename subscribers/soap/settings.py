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
# Printable ASCII that needs no escape in a quoted text.
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
            raise ValueError(f"uses {name} in line {line}, which no event has; known: {known}")
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
        description="element in the envelope's body, around those that are made of the subscriber's body; "
        "required without an envelope of your own",
    )
    namespace: str | None = Field(
        default=None, pattern=_URI, examples=["urn:acme:erp"], description="namespace of the operation"
    )
    qualified: bool = Field(
        default=True,
        description="false: only the operation has the namespace (elementFormDefault of the schema)",
    )
    action: str = Field(
        default="",
        pattern=_ACTION,
        examples=["urn:acme:erp/CreateInvoice"],
        description="SOAPAction, or the parameter action of SOAP 1.2",
    )
    delete_operation: str | None = Field(
        default=None,
        pattern=_NAME,
        examples=["CancelInvoice"],
        description="operation for a deleted record, with deletions: delete",
    )
    delete_action: str = Field(
        default="",
        pattern=_ACTION,
        examples=["urn:acme:erp/CancelInvoice"],
        description="action of delete_operation",
    )
    key_element: str | None = Field(
        default=None,
        pattern=_NAME,
        examples=["RequestId"],
        description="first element of the operation, which gets the delivery's key",
    )
    envelope: Annotated[str, AfterValidator(_template)] | None = Field(
        default=None, description="Jinja2 template of the whole envelope; values in it are escaped"
    )
    security: UsernameToken | None = Field(default=None, description="WS-Security header; default: none")
    faults: tuple[FaultRule, ...] = Field(
        default=(),
        description="outcomes of faults, where they differ from the default; the first match decides",
    )
    result: Mapping[str, Annotated[str, Field(pattern=_PATH, examples=["Invoice/Number"])]] = Field(
        default_factory=dict,
        description="values of the answer that the receipt keeps, by their names in it, such as "
        "{number: InvoiceNumber, state: Invoice/@state}; default: the members of the answer's first element",
    )

    @model_validator(mode="after")
    def _envelope_is_complete(self) -> Self:
        if self.envelope is None:
            if self.operation is None:
                raise ValueError("set operation, or an envelope of your own")
            return self
        if self.key_element is not None:
            raise ValueError("key_element has no effect with an envelope of your own: use {{ delivery_key }}")
        if self.security is not None and "security" not in names_in(self.envelope):
            raise ValueError("the envelope must contain {{ security }} in its header, as security is set")
        return self

    @property
    def secrets(self) -> tuple[str, ...]:
        """Secrets of the security header that an answer must not repeat."""
        return self.security.secrets if self.security is not None else ()
