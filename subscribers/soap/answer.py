"""Answer of a SOAP service: its body or fault, and the values for a receipt."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from streamer.events import JsonObject
from streamer.xml.tree import Element, MalformedXml, parse_xml
from subscribers.http.answer import fitting
from subscribers.soap.faults import ReceivedFault, fault_of


@dataclass(frozen=True, slots=True, kw_only=True)
class SoapAnswer:
    """Envelope of an answer: its `body`, and its `fault` if there is one."""

    body: Element
    fault: ReceivedFault | None = None

    def receipt(self, result: Mapping[str, str]) -> JsonObject:
        """Return as many values at the paths of `result` as fit into a receipt.

        The keys are the names in `result`. Without paths, the values are the members of
        the body's first element.
        """
        if result:
            values = {name: value_at(self.body, path) for name, path in result.items()}
            return fitting({name: value for name, value in values.items() if value is not None})
        if self.fault is not None or not self.body.children:
            return {}
        return fitting(self.body.children[0].values())


def read_answer(content: bytes) -> SoapAnswer | None:
    """Return the envelope in `content`; `None` if there is none. Namespaces of names are ignored."""
    try:
        root = parse_xml(content)
    except MalformedXml:
        return None
    body = root.child("Body")
    if root.name != "Envelope" or body is None:
        return None
    fault = body.child("Fault")
    # An element in the service's own namespace can be named Fault too, and some services send a
    # fault without a namespace.
    is_fault = fault is not None and fault.namespace in {root.namespace, ""}
    return SoapAnswer(body=body, fault=fault_of(fault) if fault is not None and is_fault else None)


def value_at(element: Element, path: str) -> Any:
    """Return the value of the first element within `element` at `path`, or `None`.

    A path consists of element names separated by `/`, and can begin at any depth:
    `Invoice/Number` finds a `Number` directly in an `Invoice`. A last step `@name`
    means an attribute.
    """
    steps = path.split("/")
    attribute = steps.pop()[1:] if steps[-1].startswith("@") else None
    for found in _found(element, steps):
        if attribute is None:
            return found.value.strip() if isinstance(found.value, str) else found.value
        for name, value in found.attributes.items():
            if name.rpartition("}")[2] == attribute:
                return value
    return None


def _found(element: Element, steps: Sequence[str]) -> Iterator[Element]:
    for child in element.children:
        if child.name == steps[0]:
            yield from _below(child, steps[1:])
        yield from _found(child, steps)


def _below(element: Element, steps: Sequence[str]) -> Iterator[Element]:
    if not steps:
        yield element
        return
    for child in element.children:
        if child.name == steps[0]:
            yield from _below(child, steps[1:])
