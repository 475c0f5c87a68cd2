"""REST resource that pushes messages to a generic channel, and lists the channel's subscribers.

The source is the REST API guide, StreamingChannel push.
"""

from collections.abc import Callable, Collection
from typing import Any

from streamer.sandbox.org.definitions.streaming_objects import STREAMING_CHANNEL
from streamer.sandbox.org.record_ids import normal_id
from streamer.sandbox.org.refusals import Refused
from streamer.sandbox.rest.call import RestCall, SandboxResponse
from streamer.sandbox.rest.resources import Resources
from streamer.sandbox.streaming.generic_channels import LONGEST_PAYLOAD, GenericChannels

_EVERYONE = -1


class RestStreamingChannels:
    """Serves `sobjects/StreamingChannel/ID/push`."""

    def __init__(self, channels: GenericChannels, online: Callable[[str], Collection[str]]) -> None:
        """Push to `channels`; `online` returns the ids of the users who are subscribed to a path."""
        self._channels = channels
        self._online = online

    def add_to(self, resources: Resources) -> None:
        """Serve the resource; call this before the resources of single records are added."""
        resources.add(f"/sobjects/{STREAMING_CHANNEL}/{{id}}/push", get=self._listeners, post=self._push)

    def _listeners(self, call: RestCall) -> SandboxResponse:
        path = self._path(call)
        return SandboxResponse(body={"OnlineUserIds": sorted(self._online(path)), "ChannelName": path})

    def _push(self, call: RestCall) -> SandboxResponse:
        path, events = self._path(call), call.json_object().get("pushEvents")
        if not isinstance(events, list) or not events:
            raise Refused("INVALID_FIELD", "pushEvents must be a list of events", fields=["pushEvents"])
        checked = [(_payload(each), _user_ids(each)) for each in events]
        return SandboxResponse(body=[self._pushed(path, payload, user_ids) for payload, user_ids in checked])

    def _pushed(self, path: str, payload: str, user_ids: list[str]) -> dict[str, Any]:
        online = self._online(path)
        self._channels.push(path, payload, user_ids)
        status = {each: each in online for each in user_ids}
        return {"fanoutCount": sum(status.values()) if user_ids else _EVERYONE, "userOnlineStatus": status}

    def _path(self, call: RestCall) -> str:
        return str(call.retrieve(STREAMING_CHANNEL, call["id"])["Name"])


def _payload(event: Any) -> str:
    payload = event.get("payload") if isinstance(event, dict) else None
    if not isinstance(payload, str):
        raise Refused("JSON_PARSER_ERROR", "payload must be a text", fields=["payload"])
    if len(payload) > LONGEST_PAYLOAD:
        message = f"payload: data value too large (max length={LONGEST_PAYLOAD})"
        raise Refused("STRING_TOO_LONG", message, fields=["payload"])
    return payload


def _user_ids(event: dict[str, Any]) -> list[str]:
    given = event.get("userIds") or []
    listed = given if isinstance(given, list) else [given]
    found = [user_id for each in listed if isinstance(each, str) and (user_id := normal_id(each))]
    if not isinstance(given, list) or len(found) < len(given):
        raise Refused("MALFORMED_ID", "userIds must be a list of user ids", fields=["userIds"])
    return found
