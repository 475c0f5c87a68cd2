"""Start of a subscription: checks its channel and its replay id."""

from collections.abc import Callable
from dataclasses import dataclass

from streamer.sandbox.bayeux import Failure, JsonObject, invalid_replay_id, replay_id_not_found
from streamer.sandbox.cometd.subscription import ALL_RETAINED, NEW_ONLY, ChannelSubscription, MessageView
from streamer.sandbox.faults.armed import SUBSCRIBE, ArmedFaults, InjectionPoint
from streamer.sandbox.org.bus import EventBus
from streamer.sandbox.usage import OrgUsage


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelAccess:
    """Admission of clients to channels, by the value of their `Authorization` header.

    `refusal` also takes a channel, without the filter of a PushTopic. It returns the
    reason why the client can't subscribe to the channel, or `None` if the client can.
    `filter_refusal` takes the channel with its filter. `view` returns the function that
    shows the messages of a channel to the client's user, or `None` if the user can see
    everything. No client is admitted while the delivered events of `usage` are used up.
    """

    refusal: Callable[[str, str | None], str | None]
    filter_refusal: Callable[[str], str | None] = lambda _name: None
    view: Callable[[str, str | None], MessageView | None] = lambda _path, _authorisation: None
    usage: OrgUsage | None = None


class SubscriptionPlanner:
    """Turns a subscribe message into subscriptions or into a refusal."""

    def __init__(self, bus: EventBus, armed: ArmedFaults, access: ChannelAccess) -> None:
        self._bus = bus
        self._armed = armed
        self._access = access

    def plan(self, message: JsonObject, authorisation: str | None) -> list[ChannelSubscription] | Failure:
        """Return the subscriptions to all channels of the message, or the first refusal."""
        asked = message.get("subscription")
        names = asked if isinstance(asked, list) else [asked]
        planned: list[ChannelSubscription] = []
        for name in names:
            outcome = self._one(name, message.get("ext"), authorisation)
            if isinstance(outcome, Failure):
                return outcome
            planned.append(outcome)
        return planned or Failure(error="400::Channel name not specified")

    def _one(self, name: object, ext: object, authorisation: str | None) -> ChannelSubscription | Failure:
        if not isinstance(name, str) or not name:
            return Failure(error="400::Channel name not specified")
        if not name.startswith("/"):
            return Failure(error="400::Channel subscriptions must start with a leading '/'")
        path = name.partition("?")[0]
        point = InjectionPoint(on=SUBSCRIBE, path=path)
        if fault := self._armed.strike("deny_subscription", point):
            denial: Failure = fault.settings["failure"]
            return denial
        refusal = self._access.refusal(path, authorisation) or self._access.filter_refusal(name)
        if refusal is not None:
            return Failure(error=refusal)
        start = self._start(path, ext, point)
        if isinstance(start, Failure):
            return start
        view = self._access.view(path, authorisation)
        return ChannelSubscription(
            name=name, path=path, position=start, view=view, authorisation=authorisation
        )

    def _start(self, path: str, ext: object, point: InjectionPoint) -> int | Failure:
        replay_id = _replay_id(path, ext)
        if isinstance(replay_id, Failure):
            return replay_id
        if replay_id == NEW_ONLY:
            return self._bus.sequence
        if replay_id == ALL_RETAINED:
            return 0
        refused = self._armed.strike("refuse_replay_id", point) is not None
        if refused or not self._bus.is_valid(path, replay_id):
            return invalid_replay_id(replay_id)
        return self._bus.sequence_before(path, replay_id)


def _replay_id(path: str, ext: object) -> int | Failure:
    replay = ext.get("replay") if isinstance(ext, dict) else None
    # An empty replay map requests no position. The library nforce sends such a map in its example.
    if replay is None or replay == {}:
        return NEW_ONLY
    replay_id = replay.get(path) if isinstance(replay, dict) else None
    if not isinstance(replay_id, int) or isinstance(replay_id, bool):
        return replay_id_not_found(path, replay)
    return replay_id
