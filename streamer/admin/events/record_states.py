"""Resource of record states: one record with all its fields, as the log knows it."""

from dataclasses import dataclass

from aiohttp import web

from streamer.admin.context import AdminContext
from streamer.admin.middleware import json_response
from streamer.admin.schemas import ApiError
from streamer.events import JsonObject, RecordState, record_id_of


@dataclass(frozen=True, slots=True, kw_only=True)
class StateResource:
    """`/states`."""

    context: AdminContext

    def routes(self) -> list[web.RouteDef]:
        """Return the routes of this resource."""
        return [web.get("/states/{entity}/{record_id}", self._show)]

    async def state(self, entity: str, record_id: str) -> JsonObject:
        """Return the state of a record. Raises `ApiError` and `LogUnavailable`."""
        kept = self.context.daemon.plan.settings.state
        objects = kept.objects if kept is not None else ()
        if entity not in objects:
            named = ", ".join(objects) or "no object"
            raise ApiError(
                404,
                f"Streamer keeps no states of {entity}, but of {named}: add {entity} to state.objects, and "
                "start the daemon again.",
            )
        whole_id = record_id_of(record_id)
        if whole_id is None:
            raise ApiError(400, f"{record_id} is not a record id: an id has 15 or 18 characters.")
        state = (await self.context.log.states.of(entity, [whole_id])).get(whole_id)
        if state is None:
            raise ApiError(
                404,
                f"This process knows no state of {entity} {whole_id}. The record may not exist, its first "
                "snapshot may not have ended (streamer snapshot list), or another process keeps its state.",
            )
        return state_json(state)

    async def _show(self, request: web.Request) -> web.Response:
        found = await self.state(request.match_info["entity"], request.match_info["record_id"])
        return json_response(found)


def state_json(state: RecordState) -> JsonObject:
    """Return a state for operators and scripts."""
    last = state.last
    return {
        "entity": state.entity,
        "record_id": state.record_id,
        "is_deleted": state.is_deleted,
        "fields": state.fields,
        "omitted": state.omitted,
        "changed_at": last.time,
        "read_at": last.read_at,
        "event_id": last.event_id,
        "commit_number": last.commit_number,
        "sequence": last.sequence,
    }
