"""Parts of a composite call: their form, and references to the answers of other parts."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import quote

import orjson
from multidict import CIMultiDict
from yarl import URL

from streamer.sandbox.org.refusals import Refused, not_found
from streamer.sandbox.org.transaction import Transaction
from streamer.sandbox.rest.call import RestCall, SandboxResponse
from streamer.sandbox.rest.resources import Resources, refusal

_ID = re.compile(r"[A-Za-z0-9]\w*", re.ASCII)
_METHODS = frozenset({"POST", "PUT", "PATCH", "GET", "DELETE"})
_INHERITED = frozenset({"accept", "authorization", "content-type"})
_URL = re.compile(r"/services/data/v(\d+\.\d)(/.*)")
_REFERENCE = re.compile(r"@\{(\w+)((?:\.\w+|\[\d+\])+)\}")
_STEP = re.compile(r"\.(\w+)|\[(\d+)\]")
# From this version on, a reference to a field without a value means null.
_NULLS_SINCE = 52.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Subrequest:
    """One part of a composite call; its path and its body can refer to answers of earlier parts."""

    id: str
    method: str
    version: str
    target: str
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def path(self) -> str:
        """The path after the version, without the query."""
        return self.target.partition("?")[0]


def parsed(items: object) -> list[Subrequest]:
    """Return the parts that a body lists; raises `Refused` for a malformed part."""
    if not isinstance(items, list) or not items or not all(isinstance(item, dict) for item in items):
        raise Refused("JSON_PARSER_ERROR", "compositeRequest must be a list of subrequests")
    parts = [_parsed(item) for item in items]
    ids = [part.id for part in parts]
    if len(set(ids)) < len(ids):
        raise Refused("JSON_PARSER_ERROR", "Each referenceId must be unique")
    return parts


def part_of(call: RestCall, part: Subrequest, shared: Transaction | None = None) -> RestCall:
    """Return the call that a part makes, in the session of the composite call."""
    url = URL(part.target, encoded=True)
    inherited = CIMultiDict({name: call.headers[name] for name in _INHERITED if name in call.headers})
    inherited.update(part.headers)
    return replace(
        call,
        method=part.method,
        version=part.version,
        path=url.raw_path,
        query=url.query,
        headers=inherited,
        body=b"" if part.body is None else orjson.dumps(part.body),
        shared=shared if shared is not None else call.shared,
        is_part=True,
    )


def run(
    resources: Resources, call: RestCall, parts: Sequence[Subrequest], shared: Transaction | None = None
) -> list[SandboxResponse]:
    """Answer the parts in order; with a `shared` transaction, stop after the first part that fails."""
    answers: dict[str, SandboxResponse] = {}
    for part in parts:
        answer = _answer(resources, call, part, answers, shared)
        answers[part.id] = answer
        if shared is not None and failed(answer):
            break
    return list(answers.values())


def failed(answer: SandboxResponse) -> bool:
    """Return whether a part, or a record of a collection in the part, failed."""
    results = answer.body if isinstance(answer.body, list) else []
    return answer.is_error or any(
        isinstance(result, dict) and result.get("success") is False for result in results
    )


def rolled_back(parts: Sequence[Subrequest], answers: Sequence[SandboxResponse]) -> list[SandboxResponse]:
    """Return the answers to all parts after the failure of the last answered part has undone the others."""
    message = "The transaction was rolled back since another operation in the same transaction failed."
    halted = refusal(Refused("PROCESSING_HALTED", message))
    culprit = len(answers) - 1
    return [answers[culprit] if index == culprit else halted for index in range(len(parts))]


def composite_results(
    parts: Sequence[Subrequest], answers: Sequence[SandboxResponse]
) -> list[dict[str, Any]]:
    """Return the answers in the form of a composite response."""
    return [
        {
            "body": answer.body,
            "httpHeaders": dict(answer.headers),
            "httpStatusCode": answer.status,
            "referenceId": part.id,
        }
        for part, answer in zip(parts, answers, strict=True)
    ]


def _parsed(item: Mapping[str, Any]) -> Subrequest:
    # The guide uses both spellings.
    reference_id, method, url = (
        item.get("referenceId", item.get("referenceID")),
        item.get("method"),
        item.get("url"),
    )
    if not isinstance(reference_id, str) or _ID.fullmatch(reference_id) is None:
        message = (
            f"Provided referenceId ('{reference_id}') must start with a letter or a number, "
            "and it can contain only letters, numbers and underscores ('_')."
        )
        raise Refused("JSON_PARSER_ERROR", message)
    found = _URL.fullmatch(url) if isinstance(url, str) else None
    if method not in _METHODS or found is None:
        message = f"{reference_id} needs a method, and a url that starts with /services/data/vXX.X/"
        raise Refused("JSON_PARSER_ERROR", message)
    headers = item.get("httpHeaders") or {}
    if not isinstance(headers, dict) or any(name.lower() in _INHERITED for name in headers):
        message = f"{reference_id} can't set the headers Accept, Authorization and Content-Type"
        raise Refused("JSON_PARSER_ERROR", message)
    return Subrequest(
        id=reference_id,
        method=method,
        version=found[1],
        target=found[2],
        body=item.get("body"),
        headers={name: str(value) for name, value in headers.items()},
    )


def _answer(
    resources: Resources,
    call: RestCall,
    part: Subrequest,
    answers: Mapping[str, SandboxResponse],
    shared: Transaction | None,
) -> SandboxResponse:
    if part.path.startswith("/composite") and not part.path.startswith("/composite/sobjects"):
        return refusal(not_found())
    values = _Values(answers, nulls=float(call.version) >= _NULLS_SINCE)
    try:
        resolved = replace(part, target=values.in_url(part.target), body=values.in_body(part.body))
    except Refused as refused:
        return refusal(refused)
    return resources.answer(part_of(call, resolved, shared))


class _Values:
    """Replaces references with values of earlier answers."""

    def __init__(self, answers: Mapping[str, SandboxResponse], *, nulls: bool) -> None:
        self._answers = answers
        self._nulls = nulls

    def in_url(self, target: str) -> str:
        return _REFERENCE.sub(lambda found: quote(str(self._value(found)), safe=""), target)

    def in_body(self, value: Any) -> Any:
        match value:
            case dict():
                return {name: self.in_body(each) for name, each in value.items()}
            case list():
                return [self.in_body(each) for each in value]
            case str() if whole := _REFERENCE.fullmatch(value):
                return self._value(whole)
            case str():
                return _REFERENCE.sub(lambda found: str(self._value(found)), value)
        return value

    def _value(self, found: re.Match[str]) -> Any:
        answer = self._answers.get(found[1])
        value = None if answer is None or answer.is_error else answer.body
        for step in _STEP.finditer(found[2]):
            if step[1] is not None and isinstance(value, dict) and step[1] in value:
                value = value[step[1]]
            elif step[2] is not None and isinstance(value, list) and int(step[2]) < len(value):
                value = value[int(step[2])]
            else:
                raise self._missing(found)
        if isinstance(value, dict | list) or (value is None and not self._nulls):
            raise self._missing(found)
        return value

    def _missing(self, found: re.Match[str]) -> Refused:
        message = f"Invalid reference specified. No value for {found[0][2:-1]} found in {found[1]}."
        return Refused("PROCESSING_HALTED", message)
