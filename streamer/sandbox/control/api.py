"""HTTP API that controls the sandbox: it offers actions that a real org does not offer."""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import orjson
from aiohttp import web
from pydantic import Field, ValidationError

from streamer.clock import Clock, TurnedClock
from streamer.sandbox.access.user import User
from streamer.sandbox.access.users import Users
from streamer.sandbox.admission import OriginCheck
from streamer.sandbox.auth.tokens import TokenIssuer
from streamer.sandbox.backlog import Backlog, produce
from streamer.sandbox.cometd import CometdServer
from streamer.sandbox.control.bodies import Body, Handler, answer, json_object
from streamer.sandbox.control.history import HistoryResource, Refresh
from streamer.sandbox.control.limits import LimitsResource
from streamer.sandbox.control.outbound_messages import OutboundMessageResource
from streamer.sandbox.faults.catalogue import Faults
from streamer.sandbox.org.bus import EventBus
from streamer.sandbox.org.definitions import parse_schema
from streamer.sandbox.org.field_values import timestamp
from streamer.sandbox.org.lead_conversion import CONVERTED, Conversion, convert
from streamer.sandbox.org.org import DEFAULT_ORIGIN, SandboxOrg
from streamer.sandbox.org.refusals import Refused
from streamer.sandbox.org.transaction import Transaction
from streamer.sandbox.outbound.sender import OutboundSender
from streamer.validation import mistakes

_MAX_CHANGES = 2_000_000
REVOKE_TOKENS = "revoke_tokens"

Spawn = Callable[[Coroutine[Any, Any, Any], str], None]
"""Function that runs a coroutine in the background, under a name."""


class _Turn(Body):
    turn_s: Annotated[float, Field(ge=0)]


class _Changes(Body):
    entity: str = "Account"
    count: Annotated[int, Field(ge=1, le=_MAX_CHANGES)] = 1
    records: Annotated[int, Field(ge=1)] | None = None
    size_bytes: Annotated[int, Field(ge=0, le=1_000_000)] | None = None
    per_second: Annotated[float, Field(gt=0)] | None = None


class _Operation(Body):
    op: Literal["create", "update", "delete", "undelete"]
    type: str
    id: str = ""
    fields: dict[str, Any] = Field(default_factory=dict)


class _Transaction(Body):
    operations: Annotated[list[_Operation], Field(min_length=1)]
    origin: str = DEFAULT_ORIGIN
    user: str | None = None


class _Event(Body):
    name: str
    fields: dict[str, Any] = Field(default_factory=dict)


class _Conversion(Body):
    status: str = CONVERTED
    account_id: str | None = None
    contact_id: str | None = None
    opportunity: str | None = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Controlled:
    """The parts of a sandbox that its control API reads and changes.

    `pubsub_streams` returns the number of open streams of the Pub/Sub API, and
    `refresh` turns the org into another org.
    """

    org: SandboxOrg
    users: Users
    tokens: TokenIssuer
    faults: Faults
    cometd: CometdServer
    outbound: OutboundSender
    clock: Clock
    bus: EventBus
    refresh: Refresh
    pubsub_streams: Callable[[], int]


class ControlApi:
    """Serves `/sandbox/*`: clock, faults, changes, history, limits, users, schema and state."""

    def __init__(self, controlled: Controlled) -> None:
        self._org = controlled.org
        self._users = controlled.users
        self._tokens = controlled.tokens
        self._faults = controlled.faults
        self._cometd = controlled.cometd
        self._clock = controlled.clock
        self._pubsub_streams = controlled.pubsub_streams
        self._resources = (
            OutboundMessageResource(controlled.outbound),
            HistoryResource(controlled.org, controlled.refresh),
            LimitsResource(controlled.org, controlled.bus),
        )

    def routes(self, spawn: Spawn, admission: OriginCheck) -> list[web.RouteDef]:
        """Return the routes; `admission` checks each request, and `spawn` runs changes that take time."""

        async def changes(request: web.Request) -> web.Response:
            return await self._changes(request, spawn)

        handlers: list[tuple[str, str, Handler]] = [
            ("GET", "/sandbox/state", self._state),
            ("POST", "/sandbox/clock", self._turn),
            ("POST", "/sandbox/faults/{name}", self._arm),
            ("DELETE", "/sandbox/faults", self._heal),
            ("DELETE", "/sandbox/faults/{name}", self._heal),
            ("POST", "/sandbox/changes", changes),
            ("POST", "/sandbox/transactions", self._transaction),
            ("POST", "/sandbox/records/{type}/{id}/undelete", self._undelete),
            ("DELETE", "/sandbox/recycle-bin", self._empty_recycle_bin),
            ("PUT", "/sandbox/users/{username}", self._put_user),
            ("GET", "/sandbox/schema", self._schema),
            ("PUT", "/sandbox/schema", self._put_schema),
            ("POST", "/sandbox/leads/{id}/convert", self._convert),
            ("POST", "/sandbox/events", self._event),
            *(each for resource in self._resources for each in resource.handlers()),
        ]
        return [web.route(method, path, _guarded(handle, admission)) for method, path, handle in handlers]

    async def _state(self, _request: web.Request) -> web.Response:
        schema, records = self._org.schema, self._org.records
        counts = {entity.name: records.count(entity) for entity in schema.entities}
        state = {
            "now": self._clock.now(),
            "org_id": self._org.settings.org_id,
            "published_events": self._org.published,
            "access_tokens": len(self._tokens),
            "records": {name: count for name, count in counts.items() if count},
            "cometd_clients": self._cometd.clients,
            "held_connects": self._cometd.held,
            "pubsub_streams": self._pubsub_streams(),
            "delivered_events": self._cometd.delivered,
            "faults_struck": dict(self._faults.struck),
            "events_lost_by_faults": self._faults.lost,
        }
        return answer(state)

    async def _turn(self, request: web.Request) -> web.Response:
        turn = _Turn.model_validate(await json_object(request))
        if not isinstance(self._clock, TurnedClock):
            message = (
                "The time of this sandbox can't be changed, because the sandbox uses the machine's "
                "clock: start the sandbox with a clock of its own."
            )
            return answer({"error": message}, status=409)
        await self._clock.turn(turn.turn_s)
        return answer({"now": self._clock.now()})

    async def _arm(self, request: web.Request) -> web.Response:
        name, parameters = request.match_info["name"], await json_object(request)
        if name == REVOKE_TOKENS:
            return answer({"revoked": self._tokens.revoke_all()})
        self._faults.arm(name, parameters)
        return answer({"armed": name})

    async def _heal(self, request: web.Request) -> web.Response:
        self._faults.heal(request.match_info.get("name"))
        return web.Response(status=204)

    async def _changes(self, request: web.Request, spawn: Spawn) -> web.Response:
        asked = _Changes.model_validate(await json_object(request))
        work = produce(self._org, self._clock, Backlog(**asked.model_dump()))
        if asked.per_second is not None:
            spawn(work, "sandbox.changes")
            return answer({"started": asked.count}, status=202)
        created = await work
        return answer({"published": asked.count, "records": len(created)})

    async def _transaction(self, request: web.Request) -> web.Response:
        asked = _Transaction.model_validate(await json_object(request))
        with self._org.transaction(user=asked.user, origin=asked.origin) as transaction:
            ids = [_perform(transaction, operation) for operation in asked.operations]
        return answer({"ids": ids})

    async def _undelete(self, request: web.Request) -> web.Response:
        with self._org.transaction() as transaction:
            transaction.undelete(request.match_info["type"], request.match_info["id"])
        return web.Response(status=204)

    async def _empty_recycle_bin(self, _request: web.Request) -> web.Response:
        return answer({"removed": self._org.empty_recycle_bin()})

    async def _convert(self, request: web.Request) -> web.Response:
        asked = _Conversion.model_validate(await json_object(request))
        lead = self._org.retrieve("Lead", request.match_info["id"])
        today = timestamp(self._clock.now())[:10]
        with self._org.transaction() as transaction:
            ids = convert(transaction, lead, Conversion(**asked.model_dump()), today=today)
        return answer(ids)

    async def _put_user(self, request: web.Request) -> web.Response:
        entry = {**await json_object(request), "username": request.match_info["username"]}
        return answer({"id": self._users.put(User.model_validate(entry))})

    async def _schema(self, _request: web.Request) -> web.Response:
        return answer(self._org.declared.model_dump(mode="json", exclude_unset=True))

    async def _put_schema(self, request: web.Request) -> web.Response:
        self._org.declare(parse_schema(await json_object(request)))
        return await self._schema(request)

    async def _event(self, request: web.Request) -> web.Response:
        event = _Event.model_validate(await json_object(request))
        return answer({"event_uuid": self._org.publish_platform_event(event.name, event.fields)})


def _perform(transaction: Transaction, operation: _Operation) -> str:
    match operation.op:
        case "create":
            return transaction.create(operation.type, operation.fields)
        case "update":
            transaction.update(operation.type, operation.id, operation.fields)
        case "delete":
            transaction.delete(operation.type, operation.id)
        case "undelete":
            transaction.undelete(operation.type, operation.id)
    return operation.id


def _guarded(handler: Handler, admission: OriginCheck) -> Handler:
    async def guarded(request: web.Request) -> web.Response:
        try:
            admission.check(request)
            return await handler(request)
        except Refused as refused:
            return answer({"error": refused.message, "code": refused.code}, status=refused.status)
        except ValidationError as error:
            return answer({"error": "; ".join(mistakes(error))}, status=400)
        except orjson.JSONDecodeError as error:
            return answer({"error": f"The body is not JSON: {error}."}, status=400)
        except ValueError as error:
            return answer({"error": str(error)}, status=400)

    return guarded
