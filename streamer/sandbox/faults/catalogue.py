"""Catalogue of the faults of event delivery, by name."""

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Final, Literal

import orjson
from pydantic import Field, validate_call

from streamer.sandbox.bayeux import (
    AUTHENTICATION_INVALID,
    DAILY_LIMIT,
    HANDSHAKE_AGAIN,
    SERVER_BUSY,
    STOP,
    TOO_MANY_CONNECTIONS,
    Failure,
    handshake_denied,
)
from streamer.sandbox.faults.armed import CONNECT, HANDSHAKE, STREAM, SUBSCRIBE
from streamer.sandbox.faults.arming import Count, Times
from streamer.sandbox.faults.history import HistoryFaults
from streamer.sandbox.faults.outbound import OutboundFaults
from streamer.sandbox.faults.rest import RestFaults
from streamer.sandbox.faults.streams import CALLS, CallKind, StreamFaults
from streamer.sandbox.org.bus import EventBus

Kind = Literal["handshake", "connect", "subscribe"]
ANY: Final[tuple[Kind, ...]] = (HANDSHAKE, CONNECT, SUBSCRIBE)
# CALLS contains `subscribe`, which is the start of a subscription over both APIs.
EVERYWHERE: Final[tuple[Kind | CallKind, ...]] = (HANDSHAKE, CONNECT, *CALLS)


class Faults(StreamFaults, OutboundFaults, RestFaults, HistoryFaults):
    """Arms faults for the servers; each fault strikes at the next matching request.

    In every method, `times` is the number of requests that the fault strikes; with
    `None`, the fault strikes all requests until it is healed. With `after_events`, the
    servers first deliver exactly this number of further events. A fault that is due at
    once ends the hold of a connect, and at once strikes an open stream. `struck` counts
    the strikes by the method's name.
    """

    NAMES: Final = frozenset(
        {
            "advise",
            "age_limit",
            "broken_response",
            "busy",
            "client_limit",
            "cut_results",
            "daily_limit",
            "deny_subscription",
            "disconnect",
            "end_stream",
            "events_before_reply",
            "events_beside_failure",
            "expire_events",
            "expire_session",
            "fail_query_job",
            "forget_client",
            "gap_changes",
            "garble_outbound",
            "half_open",
            "handshake_denied",
            "http_error",
            "lapse_cookie",
            "lose_answer",
            "lose_changes",
            "lose_outbound_answer",
            "lose_response",
            "refuse_call",
            "refuse_publish",
            "refuse_record",
            "refuse_replay_id",
            "repeat_last",
            "repeat_outbound",
            "reset_stream",
            "slow",
            "stop_keepalives",
            "unavailable",
            "unknown_schema",
            "unreadable",
            "use_up_requests",
            "wrong_outbound_org",
        }
    )

    def __init__(self, bus: EventBus) -> None:
        """Build the catalogue without armed faults; some faults change the messages on `bus`."""
        super().__init__(bus)
        self._expired: set[str | None] = set()

    def arm(self, name: str, parameters: Mapping[str, Any]) -> None:
        """Call the method of the fault `name` with JSON parameters.

        Raises `ValueError` for wrong parameters.
        """
        if name not in self.NAMES:
            raise ValueError(
                f"There is no fault {name!r}. These faults exist: {', '.join(sorted(self.NAMES))}."
            )
        fault: Callable[..., None] = getattr(self, name)
        validate_call(fault)(**parameters)

    def expire_session(
        self, *, on: Sequence[Kind | CallKind] = EVERYWHERE, times: Times = 1, after_events: Count = 0
    ) -> None:
        """From the next request on, refuse its access token: with the 401 forms, or service.auth.error."""
        self._ending("expire_session", on, times, after_events)

    def forget_client(self, *, times: Times = 1, after_events: Count = 0) -> None:
        """Drop the session of the next request: 403::Unknown client."""
        self._ending("forget_client", (CONNECT, SUBSCRIBE), times, after_events)

    def lapse_cookie(self, *, times: Times = 1, after_events: Count = 0) -> None:
        """Route the next request to a node that does not know its session: unknown client, new cookie."""
        self._ending("lapse_cookie", (CONNECT, SUBSCRIBE), times, after_events)

    def busy(
        self,
        *,
        on: Sequence[Kind] = ANY,
        error: str = AUTHENTICATION_INVALID,
        times: Times = 1,
        after_events: Count = 0,
    ) -> None:
        """Refuse with 503 in the failure reason and a misleading `error`."""
        self._fail("busy", on, Failure(error=error, reason=SERVER_BUSY, advice=STOP), times, after_events)

    def daily_limit(self, *, times: Times = None, after_events: Count = 0) -> None:
        """Refuse connects, subscriptions and streams as if the daily limit of events were reached."""
        failure = Failure(error=DAILY_LIMIT, advice=STOP)
        self._fail("daily_limit", (CONNECT, SUBSCRIBE, STREAM), failure, times, after_events)

    def handshake_denied(self, *, reason: str = TOO_MANY_CONNECTIONS, times: Times = 1) -> None:
        """Deny handshakes with this failure reason."""
        self._fail("handshake_denied", (HANDSHAKE,), handshake_denied(reason), times, 0)

    def deny_subscription(
        self,
        path: str | None = None,
        *,
        error: str = "403:denied_by_security_policy:create_denied",
        times: Times = 1,
    ) -> None:
        """Refuse subscriptions to `path`, or all subscriptions; over CometD, with `error`."""
        settings = {"failure": Failure(error=error)}
        self._arm("deny_subscription", (SUBSCRIBE,), times=times, path=path, settings=settings)

    def refuse_replay_id(self, path: str | None = None, *, times: Times = 1) -> None:
        """Refuse as invalid the replay id of the next subscription that names a replay id."""
        self._arm("refuse_replay_id", (SUBSCRIBE,), times=times, path=path)

    def disconnect(
        self,
        *,
        form: Literal["alone", "with_reply"] = "alone",
        times: Times = 1,
        after_events: Count = 0,
        since_version: float = 64.0,
    ) -> None:
        """End a session by a `/meta/disconnect` from the server.

        `with_reply` adds a successful connect reply whose advice is `none`. As in
        Salesforce, the fault strikes only endpoints of version `since_version` and
        later.
        """
        self._arm(
            "disconnect",
            (CONNECT,),
            times=times,
            after_events=after_events,
            since_version=since_version,
            ends_hold=True,
            settings={"form": form},
        )

    def events_beside_failure(
        self, *, error: str = "403::Unknown client", times: Times = 1, after_events: Count = 0
    ) -> None:
        """Send the next events together with a failed connect reply, and drop the session."""
        failure = Failure(error=error, advice=HANDSHAKE_AGAIN, anonymous=True)
        self._arm(
            "events_beside_failure",
            (CONNECT,),
            times=times,
            after_events=after_events,
            needs_events=True,
            settings={"failure": failure},
        )

    def events_before_reply(self, *, times: Times = 1) -> None:
        """Send the events of a subscription before the reply to it, on the held connect if there is one."""
        self._arm("events_before_reply", (SUBSCRIBE,), times=times)

    def advise(self, advice: dict[str, Any], *, times: Times = 1, after_events: Count = 0) -> None:
        """Put this advice into the next successful connect replies."""
        settings = {"advice": advice}
        self._arm("advise", (CONNECT,), times=times, after_events=after_events, settings=settings)

    def half_open(self, *, times: Times = 1, after_events: Count = 0) -> None:
        """Hold a connect or a stream without answering or closing it, until healed.

        The events of the connect count as delivered.
        """
        self._arm("half_open", (CONNECT, STREAM), times=times, after_events=after_events)

    def slow(
        self,
        seconds: float,
        *,
        on: Sequence[Kind | CallKind] = EVERYWHERE,
        times: Times = 1,
        after_events: Count = 0,
    ) -> None:
        """Wait for `seconds` on the sandbox's clock before each answer."""
        settings = {"seconds": seconds}
        self._arm("slow", on, times=times, after_events=after_events, settings=settings)

    def lose_response(self, *, times: Times = 1, after_events: Count = 0, needs_events: bool = True) -> None:
        """Close the connection instead of sending events that already count as delivered."""
        self._arm(
            "lose_response", (CONNECT,), times=times, after_events=after_events, needs_events=needs_events
        )

    def broken_response(
        self,
        how: Literal["truncated", "garbage", "reset"] = "truncated",
        *,
        times: Times = 1,
        after_events: Count = 0,
        needs_events: bool = True,
    ) -> None:
        """Break an answer with events: send only half of it, or garbage, or half of it and then a reset."""
        self._arm(
            "broken_response",
            (CONNECT,),
            times=times,
            after_events=after_events,
            needs_events=needs_events,
            settings={"how": how},
        )

    def http_error(
        self,
        status: Annotated[int, Field(ge=400, le=599)] = 503,
        *,
        body: str = "<html><body>Service Unavailable</body></html>",
        on: Sequence[Kind] = ANY,
        times: Times = 1,
        after_events: Count = 0,
    ) -> None:
        """Answer a request with an HTTP status and an HTML body, without processing it."""
        settings = {"status": status, "body": body}
        self._arm("http_error", on, times=times, after_events=after_events, settings=settings)

    def unreadable(self, path: str, *, kind: Literal["utf8", "nonsense", "json"] = "utf8") -> None:
        """Publish a message on `path` that is not UTF-8, has no valid payload, or breaks its JSON.

        Over the Pub/Sub API, the payload of such a message can't be decoded; the
        message `nonsense` names a schema that does not exist.
        """
        bodies: dict[str, bytes] = {
            "utf8": b'{"schema":"unreadable","payload":{"Name":"\xff\xfe"},"event":{"replayId":%d}}',
            "nonsense": b'{"schema":"unreadable","payload":"nonsense","event":{"replayId":%d}}',
            "json": b'{"schema":"unreadable","payload":{"Name":],"event":{"replayId":%d}}',
        }
        self._bus.publish_raw([path], lambda replay_id: bodies[kind] % replay_id)
        self.struck["unreadable"] += 1

    def repeat_last(self, path: str) -> None:
        """Publish the newest message of `path` again: the same `EventUuid`, a new replay id."""
        tip = self._bus.newest_replay_id(path)
        if tip is None:
            raise ValueError(f"The sandbox has no message on {path} that could be repeated.")
        newest = self._bus.after(path, tip - 1)[-1]
        self._bus.publish([path], orjson.loads(newest.data))
        self.struck["repeat_last"] += 1

    def expire(self, authorisation: str | None) -> None:
        """Refuse this `Authorization` header from now on."""
        self._expired.add(authorisation)

    def is_expired(self, authorisation: str | None) -> bool:
        """Return whether `expire_session` struck this `Authorization` header."""
        return authorisation in self._expired

    def _ending(self, name: str, on: Sequence[str], times: int | None, after_events: int) -> None:
        self._arm(name, on, times=times, after_events=after_events, ends_hold=True)

    def _fail(
        self, name: str, on: Sequence[str], failure: Failure, times: int | None, after_events: int
    ) -> None:
        settings = {"failure": failure}
        self._arm(name, on, times=times, after_events=after_events, ends_hold=True, settings=settings)
