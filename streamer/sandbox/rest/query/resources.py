"""REST resources of SOQL queries, in pages."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from streamer.clock import Clock
from streamer.sandbox.org.record_ids import IdSequence
from streamer.sandbox.org.refusals import Refused
from streamer.sandbox.rest.call import RestCall, SandboxResponse
from streamer.sandbox.rest.query.columns import columns
from streamer.sandbox.rest.query.definition_checks import check_definition_page, check_definition_query
from streamer.sandbox.rest.query.definitions import definition_scope, is_query_of_definitions
from streamer.sandbox.rest.query.recent import RecentlyViewed
from streamer.sandbox.rest.resources import Resources
from streamer.sandbox.soql.answers import Setting
from streamer.sandbox.soql.columns import Scope
from streamer.sandbox.soql.evaluator import QueryRun
from streamer.sandbox.soql.parser import parse
from streamer.sandbox.soql.syntax import SelectQuery

_CURSOR_S = 2 * 24 * 3600
_MAX_CURSORS = 100
_PAGE = range(200, 2001)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cursor:
    user_id: str
    rows: list[dict[str, Any]]
    page: int
    opened_at: float


def _all_records(call: RestCall, query: SelectQuery) -> Scope:
    if is_query_of_definitions(query):
        return definition_scope(call.schema)
    return Scope(schema=call.schema, records=call.org.records)


class QueryResources:
    """Serves `query` and `queryAll`; a cursor for further pages lives two days.

    Their paths begin with `root`, and `scope` has the types and records that they can
    read. A query can select a column in `single` only if its answer has one row.
    `recent` gets the records that queries mark as viewed.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        root: str = "",
        scope: Callable[[RestCall, SelectQuery], Scope] = _all_records,
        single: frozenset[str] = frozenset(),
        recent: RecentlyViewed | None = None,
    ) -> None:
        self._clock = clock
        self._root = root
        self._scope = scope
        self._single = single
        self._recent = recent
        self._cursors: OrderedDict[str, _Cursor] = OrderedDict()
        self._ids = IdSequence()

    def add_to(self, resources: Resources) -> None:
        """Serve both resources."""
        for kind in ("query", "queryAll"):
            resources.add(f"{self._root}/{kind}", get=self._query)
            resources.add(f"{self._root}/{kind}/{{locator}}", get=self._more)

    def _query(self, call: RestCall) -> SandboxResponse:
        query = parse(call.query.get("q", ""))
        deleted_too = call.path.startswith(f"{self._root}/queryAll")
        setting = Setting(
            scope=self._scope(call, query),
            now=self._clock.now(),
            include_deleted=deleted_too,
            url=call.base + self._root,
        )
        if is_query_of_definitions(query):
            check_definition_query(query)
        run = QueryRun(setting, query)
        if call.query.get("columns") == "true":
            return SandboxResponse(body=columns(run))
        if query.counts:
            return SandboxResponse(body={"totalSize": run.count(), "done": True, "records": []})
        rows = run.rows()
        self._check_single(run, rows)
        if query.marks_viewed and not query.is_aggregate and self._recent is not None:
            self._recent.mark(call.session.user_id, rows)
        cursor = _Cursor(
            user_id=call.session.user_id,
            rows=rows,
            page=_page_size(call),
            opened_at=self._clock.monotonic(),
        )
        check_definition_page(run.entity.name, len(rows), cursor.page)
        locator = self._ids.issue("01g")
        if len(rows) > cursor.page:
            self._cursors[locator] = cursor
            if len(self._cursors) > _MAX_CURSORS:
                self._cursors.popitem(last=False)
        return SandboxResponse(body=self._page(call, cursor, locator, 0))

    def _more(self, call: RestCall) -> SandboxResponse:
        locator, _, start = call["locator"].partition("-")
        cursor = self._cursors.get(locator)
        if cursor is None or not self._is_open(cursor, call) or not start.isdigit():
            raise Refused("INVALID_QUERY_LOCATOR", "invalid query locator")
        return SandboxResponse(body=self._page(call, cursor, locator, int(start)))

    def _is_open(self, cursor: _Cursor, call: RestCall) -> bool:
        is_fresh = self._clock.monotonic() - cursor.opened_at <= _CURSOR_S
        return is_fresh and cursor.user_id == call.session.user_id

    def _check_single(self, run: QueryRun, rows: list[dict[str, Any]]) -> None:
        if len(rows) > 1 and any(each.name in self._single for each in run.columns):
            message = (
                f"When retrieving results with {' or '.join(sorted(self._single))} fields, the query "
                "qualifications must specify no more than one row for retrieval."
            )
            raise Refused("MALFORMED_QUERY", message)

    def _page(self, call: RestCall, cursor: _Cursor, locator: str, start: int) -> dict[str, Any]:
        end = start + cursor.page
        body: dict[str, Any] = {
            "totalSize": len(cursor.rows),
            "done": end >= len(cursor.rows),
            "records": cursor.rows[start:end],
        }
        if not body["done"]:
            # The address of a further page begins with /query/, even for a query under /queryAll/.
            body["nextRecordsUrl"] = f"{call.base}{self._root}/query/{locator}-{end}"
        return body


def _page_size(call: RestCall) -> int:
    _, _, size = call.headers.get("Sforce-Query-Options", "").partition("batchSize=")
    asked = int(size) if size.isdigit() else _PAGE.stop - 1
    return min(max(asked, _PAGE.start), _PAGE.stop - 1)
