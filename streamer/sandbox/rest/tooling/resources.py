"""REST resources of the Tooling API: custom channels, their members and enriched fields.

Tooling API guide, PlatformEventChannel and PlatformEventChannelMember.
"""

from collections.abc import Callable
from typing import Any

from streamer.clock import Clock
from streamer.sandbox.access.user import SetupRight
from streamer.sandbox.org.org import SandboxOrg
from streamer.sandbox.org.records import Record
from streamer.sandbox.org.refusals import no_setup_access, not_found
from streamer.sandbox.rest.call import NO_CONTENT, Handler, RestCall, SandboxResponse
from streamer.sandbox.rest.query.definitions import (
    ENTITY,
    FIELD,
    definition_scope,
    is_query_of_definitions,
)
from streamer.sandbox.rest.query.resources import QueryResources
from streamer.sandbox.rest.representations import saved
from streamer.sandbox.rest.resources import Resources
from streamer.sandbox.rest.tooling.changes import ChannelChanges
from streamer.sandbox.rest.tooling.objects import (
    CHANNEL,
    MEMBER,
    SINGLE,
    ToolingSchema,
    channel_record,
    member_record,
    tooling_scope,
)
from streamer.sandbox.rest.tooling.setup import ChannelAdministration
from streamer.sandbox.soql.columns import Scope
from streamer.sandbox.soql.syntax import SelectQuery

_ROOT = "/tooling"
_SINCE = 47.0


class RestTooling:
    """Serves `tooling/query` and `tooling/sobjects` to users who can view or customize the setup."""

    def __init__(self, org: SandboxOrg, clock: Clock) -> None:
        self._setup = ChannelAdministration(org)
        self._queries = QueryResources(clock, root=_ROOT, scope=self._scope, single=SINGLE)

    def add_to(self, resources: Resources) -> None:
        """Serve all of them."""
        self._queries.add_to(resources)
        resources.add(f"{_ROOT}/sobjects", get=self._list)
        resources.add(
            f"{_ROOT}/sobjects/{CHANNEL}",
            post=self._created(ChannelChanges.create_channel),
        )
        resources.add(
            f"{_ROOT}/sobjects/{CHANNEL}/{{id}}",
            get=self._read(lambda changes, record_id: channel_record(changes.channel(record_id))),
            patch=self._changed(ChannelChanges.change_channel),
            delete=self._deleted(ChannelChanges.delete_channel),
        )
        resources.add(f"{_ROOT}/sobjects/{MEMBER}", post=self._created(ChannelChanges.create_member))
        resources.add(
            f"{_ROOT}/sobjects/{MEMBER}/{{id}}",
            get=self._read(lambda changes, record_id: member_record(changes.member(record_id))),
            patch=self._changed(ChannelChanges.change_member),
            delete=self._deleted(ChannelChanges.delete_member),
        )

    def _scope(self, call: RestCall, query: SelectQuery) -> Scope:
        if is_query_of_definitions(query):
            # Rights on types and fields hide nothing here (SOAP API guide, Tooling API Objects).
            _check_right(call, SetupRight.VIEW)
            return definition_scope(call.org.schema)
        _check(call, SetupRight.VIEW)
        return tooling_scope(self._setup, float(call.version))

    def _list(self, call: RestCall) -> SandboxResponse:
        _check(call, SetupRight.VIEW)
        own = (entity.name for entity in ToolingSchema(float(call.version)).entities)
        names = (ENTITY, FIELD, *own)
        types = [{"name": name, "urls": {"sobject": f"{call.base}{_ROOT}/sobjects/{name}"}} for name in names]
        return SandboxResponse(body={"encoding": "UTF-8", "maxBatchSize": 200, "sobjects": types})

    def _created(self, create: Callable[[ChannelChanges, dict[str, Any]], str]) -> Handler:
        def handle(call: RestCall) -> SandboxResponse:
            record_id = create(self._changes(call, SetupRight.CUSTOMIZE), call.json_object())
            return SandboxResponse(body={**saved(record_id), "warnings": [], "infos": []}, status=201)

        return handle

    def _read(self, read: Callable[[ChannelChanges, str], Record]) -> Handler:
        def handle(call: RestCall) -> SandboxResponse:
            record = read(self._changes(call, SetupRight.VIEW), call["id"])
            url = call.base + call.path
            return SandboxResponse(
                body={"attributes": {"type": call.path.split("/")[3], "url": url}, **record}
            )

        return handle

    def _changed(self, change: Callable[[ChannelChanges, str, dict[str, Any]], None]) -> Handler:
        def handle(call: RestCall) -> SandboxResponse:
            change(self._changes(call, SetupRight.CUSTOMIZE), call["id"], call.json_object())
            return NO_CONTENT

        return handle

    def _deleted(self, delete: Callable[[ChannelChanges, str], None]) -> Handler:
        def handle(call: RestCall) -> SandboxResponse:
            delete(self._changes(call, SetupRight.CUSTOMIZE), call["id"])
            return NO_CONTENT

        return handle

    def _changes(self, call: RestCall, right: SetupRight) -> ChannelChanges:
        _check(call, right)
        return ChannelChanges(self._setup, call.org, call.schema, call.version)


def _check(call: RestCall, right: SetupRight) -> None:
    """Raise `Refused` unless the user has the right, and the API version has these objects."""
    if float(call.version) < _SINCE:
        raise not_found()
    _check_right(call, right)


def _check_right(call: RestCall, right: SetupRight) -> None:
    if call.schema.user.setup not in {right, SetupRight.CUSTOMIZE}:
        needed = "Customize Application" if right is SetupRight.CUSTOMIZE else "View Setup and Configuration"
        raise no_setup_access(needed)
