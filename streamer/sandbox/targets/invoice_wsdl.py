"""WSDL 1.1 of the invoice service."""

INVOICES = "urn:acme:erp:invoices"
"""Namespace of the service."""

_WSDL = """<?xml version="1.0" encoding="UTF-8"?>
<wsdl:definitions xmlns:wsdl="http://schemas.xmlsoap.org/wsdl/" xmlns:tns="{namespace}"
    xmlns:xs="http://www.w3.org/2001/XMLSchema" xmlns:soap="http://schemas.xmlsoap.org/wsdl/soap/"
    xmlns:soap12="http://schemas.xmlsoap.org/wsdl/soap12/" targetNamespace="{namespace}">
  <wsdl:types>
    <xs:schema targetNamespace="{namespace}" elementFormDefault="qualified">
      <xs:element name="CreateInvoice"><xs:complexType><xs:sequence>
        <xs:element name="RequestId" type="xs:string"/>
        <xs:element name="Reference" type="xs:string"/>
        <xs:element name="Customer" type="xs:string" minOccurs="0" nillable="true"/>
        <xs:element name="Amount" type="xs:decimal"/>
        <xs:element name="Currency" type="xs:string" minOccurs="0"/>
        <xs:element name="PostingDate" type="xs:date" minOccurs="0"/>
        <xs:element name="Line" minOccurs="0" maxOccurs="unbounded"><xs:complexType><xs:sequence>
          <xs:element name="Product" type="xs:string"/>
          <xs:element name="Quantity" type="xs:decimal"/>
        </xs:sequence></xs:complexType></xs:element>
      </xs:sequence></xs:complexType></xs:element>
      <xs:element name="CancelInvoice"><xs:complexType><xs:sequence>
        <xs:element name="RequestId" type="xs:string"/>
        <xs:element name="Reference" type="xs:string"/>
      </xs:sequence></xs:complexType></xs:element>
      <xs:complexType name="Result"><xs:sequence>
        <xs:element name="InvoiceNumber" type="xs:string"/>
        <xs:element name="Status" type="xs:string"/>
      </xs:sequence></xs:complexType>
      <xs:element name="CreateInvoiceResponse" type="tns:Result"/>
      <xs:element name="CancelInvoiceResponse" type="tns:Result"/>
    </xs:schema>
  </wsdl:types>
{messages}
  <wsdl:portType name="Invoices">
{abstract}
  </wsdl:portType>
{bindings}
  <wsdl:service name="InvoiceService">
    <wsdl:port name="Soap11" binding="tns:soap"><soap:address location="{url}"/></wsdl:port>
    <wsdl:port name="Soap12" binding="tns:soap12"><soap12:address location="{url}"/></wsdl:port>
  </wsdl:service>
</wsdl:definitions>
"""
_OPERATIONS = ("CreateInvoice", "CancelInvoice")
_MESSAGES = (
    """  <wsdl:message name="{name}"><wsdl:part name="parameters" element="tns:{name}"/></wsdl:message>"""
)
_ABSTRACT = """    <wsdl:operation name="{name}">
      <wsdl:input message="tns:{name}"/><wsdl:output message="tns:{name}Response"/>
    </wsdl:operation>"""
_BINDING = """  <wsdl:binding name="{soap}" type="tns:Invoices">
    <{soap}:binding style="document" transport="http://schemas.xmlsoap.org/soap/http"/>
{operations}
  </wsdl:binding>"""
_BOUND = """    <wsdl:operation name="{name}">
      <{soap}:operation soapAction="{namespace}/{name}"/>
      <wsdl:input><{soap}:body use="literal"/></wsdl:input>
      <wsdl:output><{soap}:body use="literal"/></wsdl:output>
    </wsdl:operation>"""


def wsdl(url: str) -> str:
    """Return the WSDL of the service at `url`, with a port for each version of SOAP."""
    return _WSDL.format(
        namespace=INVOICES,
        url=url,
        messages="\n".join(
            _MESSAGES.format(name=name) for each in _OPERATIONS for name in (each, f"{each}Response")
        ),
        abstract="\n".join(_ABSTRACT.format(name=name) for name in _OPERATIONS),
        bindings="\n".join(map(_binding, ("soap", "soap12"))),
    )


def _binding(soap: str) -> str:
    operations = (_BOUND.format(soap=soap, namespace=INVOICES, name=name) for name in _OPERATIONS)
    return _BINDING.format(soap=soap, operations="\n".join(operations))
