"""Admission of calls: checks of the credentials in the metadata, and faults that strike before an answer."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import grpc.aio
from grpc import StatusCode

from streamer.sandbox.access.user import User
from streamer.sandbox.faults.armed import SUBSCRIBE, InjectionPoint
from streamer.sandbox.pubsub.context import PubSubContext
from streamer.sandbox.pubsub.errors import (
    AUTH_ERROR,
    CLIENT_LIMIT,
    DELIVERY_LIMIT,
    HEADERS_INVALID,
    UNAVAILABLE,
    CallAborted,
    exhausted,
    unauthenticated,
)

_HEADERS = ("accesstoken", "instanceurl", "tenantid")
_SHORT_ID = 15
_LIMITS = {
    "daily_limit": (DELIVERY_LIMIT, "You have exceeded the event delivery limit for your org."),
    "client_limit": (CLIENT_LIMIT, "The org has too many concurrent clients."),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class AdmittedCall:
    """One call of a client: its id, and the client's token and user."""

    id: str
    token: str
    user_id: str
    user: User


class CallAdmission:
    """Admits calls."""

    def __init__(self, context: PubSubContext) -> None:
        self._org = context.org
        self._users = context.users
        self._user_of = context.user_of
        self._faults = context.faults
        self._clock = context.clock

    async def admit(
        self, call_id: str, metadata: Iterable[tuple[str, str | bytes]], *, on: str
    ) -> AdmittedCall:
        """Return the call with its user.

        `on` is the kind of the call in faults. Raises `CallAborted` for missing or
        wrong credentials, and for faults.
        """
        given = {key: value for key, value in metadata if isinstance(value, str)}
        token, url, org_id = (given.get(name, "").strip() for name in _HEADERS)
        if not (token and org_id and url.startswith(("https://", "http://"))):
            raise unauthenticated(
                HEADERS_INVALID, f"The metadata of the call must contain {', '.join(_HEADERS)}."
            )
        own_id = self._org.settings.org_id
        if org_id not in {own_id, own_id[:_SHORT_ID]}:
            raise unauthenticated(AUTH_ERROR, "The tenantid does not match the access token.")
        await self.strike(token, InjectionPoint(on=on))
        user_id = self._user_of(token)
        assert user_id is not None  # noqa: S101 - the token has just been checked
        return AdmittedCall(id=call_id, token=token, user_id=user_id, user=self._users[user_id])

    async def strike(self, token: str, point: InjectionPoint) -> None:
        """Raise `CallAborted` for an invalid token, or for the fault that is due at `point`."""
        armed = self._faults.armed
        if armed.strike("expire_session", point):
            self._faults.expire(token)
        self.check(token)
        if fault := armed.strike("unavailable", point):
            if fault.settings["coded"]:
                raise CallAborted(StatusCode.UNAVAILABLE, UNAVAILABLE, "The service is unavailable.")
            raise connection_lost()
        for name, limit in _LIMITS.items():
            if armed.strike(name, point):
                raise exhausted(*limit)
        if point.on == SUBSCRIBE:
            self.check_delivery_limit()
        if fault := armed.strike("slow", point):
            await self._clock.sleep(fault.settings["seconds"])

    def check_delivery_limit(self) -> None:
        """Raise `CallAborted` when the org's delivered events are used up."""
        if self._org.usage.delivered_events.is_used_up:
            raise exhausted(*_LIMITS["daily_limit"])

    def check(self, token: str) -> None:
        """Raise `CallAborted` unless the access token is valid."""
        # Other APIs accept a scheme before the token, but this API does not.
        if self._faults.is_expired(token) or " " in token or self._user_of(token) is None:
            raise unauthenticated(AUTH_ERROR, "The access token is invalid or has expired.")


async def next_request(stream: Any) -> Any:
    """Return the next request of gRPC's `stream`, or `None` if the client sends no more requests."""
    request = await stream.read()
    return None if request is grpc.aio.EOF else request  # type: ignore[attr-defined] # the stubs lack it


def connection_lost() -> CallAborted:
    """Return the error that a client's library reports for a lost connection."""
    return CallAborted(StatusCode.UNAVAILABLE, None, "RST_STREAM closed stream")
