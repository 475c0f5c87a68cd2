"""REST resources that combine many calls into one call: composite, batch and graph."""

import re
from collections.abc import Sequence
from typing import Any

from streamer.sandbox.org.refusals import Refused
from streamer.sandbox.rest.call import RestCall, SandboxResponse
from streamer.sandbox.rest.composite.subrequests import (
    Subrequest,
    composite_results,
    failed,
    parsed,
    part_of,
    rolled_back,
    run,
)
from streamer.sandbox.rest.resources import Resources, refusal

_MAX_PARTS, _MAX_QUERIES = 25, 5
_MAX_GRAPHS, _MAX_NODES, _MAX_FAILED_GRAPHS = 75, 500, 14
_QUERIES = ("/query", "/composite/sobjects")
_NODE = re.compile(r"/sobjects/[^/]+(?:/[^/]+){0,2}/?")
_GRAPH_ID = re.compile(r"[A-Za-z0-9][^.]{0,38}")
_BATCH_URL = re.compile(r"(?:/services/data)?/?v(\d+\.\d)(/.*)")


class _RolledBack(Exception):
    """A part of an all-or-none call failed."""


class RestComposite:
    """Serves the resources of the composite family that call other resources."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources

    def add(self) -> None:
        """Add these resources to `resources`, which they call."""
        self._resources.add("/composite", get=_list, post=self._composite)
        self._resources.add("/composite/batch", post=self._batch)
        self._resources.add("/composite/graph", post=self._graphs)

    def _composite(self, call: RestCall) -> SandboxResponse:
        body = call.json_object()
        parts = parsed(body.get("compositeRequest"))
        _check_limits(parts)
        if body.get("allOrNone") is True:
            answers = self._all_or_none(call, parts)
        else:
            answers = run(self._resources, call, parts)
        return SandboxResponse(body={"compositeResponse": composite_results(parts, answers)})

    def _all_or_none(self, call: RestCall, parts: Sequence[Subrequest]) -> list[SandboxResponse]:
        answers: list[SandboxResponse] = []
        try:
            with call.transaction() as transaction:
                answers += run(self._resources, call, parts, transaction)
                _require_success(answers[-1])
        except _RolledBack:
            return rolled_back(parts, answers)
        return answers

    def _batch(self, call: RestCall) -> SandboxResponse:
        body = call.json_object()
        parts = _batch_parts(body.get("batchRequests"))
        # The call itself was already counted, but in a batch, the parts count instead of the call.
        call.org.usage.api_requests.use(len(parts) - 1)
        answers: list[SandboxResponse] = []
        for part in parts:
            halted = body.get("haltOnError") is True and any(answer.is_error for answer in answers)
            answers.append(_HALTED if halted else self._resources.answer(part_of(call, part)))
        results = [{"statusCode": answer.status, "result": answer.body} for answer in answers]
        return SandboxResponse(
            body={"hasErrors": any(answer.is_error for answer in answers), "results": results}
        )

    def _graphs(self, call: RestCall) -> SandboxResponse:
        graphs = _parsed_graphs(call.json_object().get("graphs"))
        results: list[dict[str, Any]] = []
        failures = 0
        for graph_id, parts in graphs:
            if failures > _MAX_FAILED_GRAPHS:
                halted = "Processing was halted, since too many graphs of the request failed."
                answers = [refusal(Refused("PROCESSING_HALTED", halted))] * len(parts)
            else:
                answers = self._all_or_none(call, parts)
            successful = not any(failed(answer) for answer in answers)
            failures += not successful
            results.append(
                {
                    "graphId": graph_id,
                    "graphResponse": {"compositeResponse": composite_results(parts, answers)},
                    "isSuccessful": successful,
                }
            )
        return SandboxResponse(body={"graphs": results})


_HALTED = refusal(
    Refused("BATCH_PROCESSING_HALTED", "Batch processing was halted since a request failed.", status=412)
)


def _require_success(answer: SandboxResponse) -> None:
    if failed(answer):
        raise _RolledBack


def _list(call: RestCall) -> SandboxResponse:
    names = ("tree", "batch", "sobjects", "graph")
    return SandboxResponse(body={name: f"{call.base}/composite/{name}" for name in names})


def _check_limits(parts: Sequence[Subrequest]) -> None:
    if len(parts) > _MAX_PARTS:
        raise Refused("LIMIT_EXCEEDED", f"A composite call can have at most {_MAX_PARTS} subrequests")
    if sum(part.path.startswith(_QUERIES) for part in parts) > _MAX_QUERIES:
        message = f"At most {_MAX_QUERIES} subrequests of a call can be queries or collections"
        raise Refused("LIMIT_EXCEEDED", message)


def _batch_parts(items: object) -> list[Subrequest]:
    if not isinstance(items, list) or not items or not all(isinstance(item, dict) for item in items):
        raise Refused("JSON_PARSER_ERROR", "batchRequests must be a list of subrequests")
    if len(items) > _MAX_PARTS:
        raise Refused("LIMIT_EXCEEDED", f"A batch can have at most {_MAX_PARTS} subrequests")
    parts = []
    for index, item in enumerate(items):
        found = _BATCH_URL.fullmatch(str(item.get("url")))
        if found is None or found[2].startswith("/composite") or not isinstance(item.get("method"), str):
            raise Refused("JSON_PARSER_ERROR", f"Subrequest {index + 1} needs a method and a url (vXX.X/…)")
        parts.append(
            Subrequest(
                id=str(index),
                method=item["method"],
                version=found[1],
                target=found[2],
                body=item.get("richInput"),
            )
        )
    return parts


def _parsed_graphs(items: object) -> list[tuple[str, list[Subrequest]]]:
    if not isinstance(items, list) or not items or not all(isinstance(item, dict) for item in items):
        raise Refused("JSON_PARSER_ERROR", "graphs must be a list of graphs")
    graphs = [(str(item.get("graphId")), parsed(item.get("compositeRequest"))) for item in items]
    ids = [graph_id for graph_id, _ in graphs]
    if len(set(ids)) < len(ids) or not all(_GRAPH_ID.fullmatch(graph_id) for graph_id in ids):
        message = "A graphId is unique, starts with a letter or digit, and has up to 39 characters and no '.'"
        raise Refused("JSON_PARSER_ERROR", message)
    nodes = [part for _, parts in graphs for part in parts]
    if len(graphs) > _MAX_GRAPHS or len(nodes) > _MAX_NODES:
        message = f"A call can have at most {_MAX_GRAPHS} graphs and {_MAX_NODES} nodes"
        raise Refused("LIMIT_EXCEEDED", message)
    unfit = next((part for part in nodes if _NODE.fullmatch(part.path) is None), None)
    if unfit is not None:
        raise Refused("JSON_PARSER_ERROR", f"A graph can't call {unfit.path}")
    return graphs
