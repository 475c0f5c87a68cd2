"""REST resources of single records and platform events."""

from aiohttp import web

from streamer.sandbox.org.field_values import from_path
from streamer.sandbox.org.records import Record
from streamer.sandbox.org.refusals import external_field_missing, not_found
from streamer.sandbox.rest.middleware import BASE, Call, RestMiddleware, answer
from streamer.sandbox.rest.representations import field_list, publish, record_body, saved, without_attributes

_RECORD = BASE + "/sobjects/{type}/{id}{_:/?}"
_EXTERNAL = BASE + "/sobjects/{type}/{field}/{value}{_:/?}"


class RestRecords:
    """Serves create, read, update, delete and upsert by an external id."""

    def routes(self, middleware: RestMiddleware) -> list[web.RouteDef]:
        """Return the routes."""
        return [
            web.post(BASE + "/sobjects/{type}{_:/?}", middleware.wrap(self._create)),
            web.get(_RECORD, middleware.wrap(self._retrieve)),
            web.patch(_RECORD, middleware.wrap(self._update)),
            web.delete(_RECORD, middleware.wrap(self._delete)),
            web.get(_EXTERNAL, middleware.wrap(self._retrieve_external)),
            web.patch(_EXTERNAL, middleware.wrap(self._upsert)),
            web.delete(_EXTERNAL, middleware.wrap(self._delete_external)),
        ]

    async def _create(self, call: Call) -> web.Response:
        fields = without_attributes(await call.json_object())
        if call.org.schema.is_platform_event(call["type"]):
            return answer(publish(call, call["type"], fields), status=201)
        with call.transaction() as transaction:
            record_id = transaction.create(call["type"], fields)
        response = answer(saved(record_id), status=201)
        response.headers["Location"] = f"{call.base}/sobjects/{call['type']}/{record_id}"
        return response

    async def _retrieve(self, call: Call) -> web.Response:
        return _record_response(call, call.org.retrieve(call["type"], call["id"]))

    async def _update(self, call: Call) -> web.Response:
        fields = without_attributes(await call.json_object())
        with call.transaction() as transaction:
            transaction.update(call["type"], call["id"], fields)
        return web.Response(status=204)

    async def _delete(self, call: Call) -> web.Response:
        with call.transaction() as transaction:
            transaction.delete(call["type"], call["id"])
        return web.Response(status=204)

    async def _retrieve_external(self, call: Call) -> web.Response:
        return _record_response(call, _external(call))

    async def _delete_external(self, call: Call) -> web.Response:
        with call.transaction() as transaction:
            transaction.delete(call["type"], _external(call)["Id"])
        return web.Response(status=204)

    async def _upsert(self, call: Call) -> web.Response:
        entity = call.org.schema.entity(call["type"])
        key = entity.fields.get(entity.field_name(call["field"]) or "")
        fields = without_attributes(await call.json_object())
        fields[call["field"]] = from_path(key, call["value"])
        with call.transaction() as transaction:
            record_id, created = transaction.upsert(call["type"], call["field"], fields)
        return answer({**saved(record_id), "created": created}, status=201 if created else 200)


def _external(call: Call) -> Record:
    entity = call.org.schema.entity(call["type"])
    field = call.org.schema.readable(entity, call["field"])
    if field is None:
        raise external_field_missing(call["field"])
    found = call.org.records.find(entity, field, call["value"])
    if not found:
        raise not_found()
    return found[0]


def _record_response(call: Call, record: Record) -> web.Response:
    asked = field_list(call.request.query.get("fields"))
    return answer(record_body(call, call.org.schema.entity(call["type"]), record, asked))
