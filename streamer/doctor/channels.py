"""Checks of the channels: they exist, the user can subscribe, and the org announces the wanted changes."""

import random
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from typing import Any

from streamer.channel_paths import ChannelKind
from streamer.configuration.event_types import Carried
from streamer.doctor.check import Area, Check, CheckResult, CheckStatus, Once, failed, ok, skipped, warning
from streamer.doctor.org import LOGIN, OrgSession
from streamer.errors import SalesforceUnavailable, StreamerError
from streamer.eventbus import TopicRequest
from streamer.eventbus.calls import GET_TOPIC
from streamer.salesforce.auth.tokens import AccessToken
from streamer.salesforce.cometd import protocol
from streamer.salesforce.cometd.session import BayeuxOptions, BayeuxSession, SessionLost
from streamer.salesforce.pubsub.connection import PubSubConnection
from streamer.salesforce.pubsub.errors import CallEnded
from streamer.salesforce.pubsub.options import PubSubOptions
from streamer.salesforce.sessions import Reaction
from streamer.salesforce.tooling.setup import ChannelSetup
from streamer.settings import Settings, Transport

_NEW_ONLY = -1
_PUBSUB_REMEDY = ": check org.pubsub.endpoint, and that firewalls allow connections to this address"


async def cometd_refusals(session: OrgSession, paths: Sequence[str]) -> Mapping[str, str]:
    """Return Salesforce's reason for each of `paths` that Salesforce refuses.

    The check subscribes to new events in a separate session, and ends the session
    without asking for events. So no other client loses events. Raises
    `SalesforceUnavailable` if Salesforce does not answer.
    """
    token = await session.token()
    options = BayeuxOptions(api_version=session.settings.api_version)
    refused: dict[str, str] = {}
    try:
        async with BayeuxSession(token, session.clock, options) as bayeux:
            await bayeux.handshake()
            async with aclosing(bayeux.subscribe(dict.fromkeys(paths, _NEW_ONLY))) as answers:
                async for _, replies in answers:
                    for path, reply in replies.items():
                        if reply is None or not reply.get("successful"):
                            refused[path] = "; ".join(protocol.causes(reply or {}))[:500]
    except SessionLost as lost:
        raise SalesforceUnavailable(f"the Streaming API does not open a session ({lost})") from lost
    return refused


async def pubsub_refusals(session: OrgSession, paths: Sequence[str]) -> Mapping[str, str]:
    """Return Salesforce's reason for each of `paths` that the user can't subscribe to.

    Raises `SalesforceUnavailable` if the Pub/Sub API does not answer.
    """
    token = await session.token()
    connection = PubSubConnection(PubSubOptions.of(session.settings), session.clock, random.random)
    try:
        asked = {path: await _refusal(connection, path, token) for path in paths}
    except CallEnded as ended:
        endpoint, detail = session.settings.pubsub.endpoint, ended.detail.removeprefix("UNAVAILABLE ")
        # The message about a known fault already names the remedy.
        why = f": {detail}" if ": check " in detail or ": let " in detail else f" ({ended}){_PUBSUB_REMEDY}"
        raise SalesforceUnavailable(f"the Pub/Sub API at {endpoint} does not answer{why}") from ended
    finally:
        await connection.close()
    return {path: said for path, said in asked.items() if said}


async def _refusal(connection: PubSubConnection, path: str, token: AccessToken) -> str:
    try:
        info = await connection.ask(GET_TOPIC, TopicRequest(topic_name=path), token)
    except CallEnded as ended:
        if ended.reaction is Reaction.REFUSE_CHANNEL:
            return str(ended)
        raise
    return "" if info.can_subscribe else "the user can't subscribe to the channel"


_HOUR_S = 3600
_PARTS_TO_ENTITY = 3
_TRIALS: Mapping[Transport, Callable[[OrgSession, Sequence[str]], Coroutine[Any, Any, Mapping[str, str]]]] = {
    Transport.COMETD: cometd_refusals,
    Transport.PUBSUB: pubsub_refusals,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelChecks:
    """Checks of the configured channels, except for outbound messages."""

    settings: Settings
    session: OrgSession
    refusals: Mapping[Transport, Once[Mapping[str, str]]]

    @classmethod
    def of(cls, settings: Settings, session: OrgSession, *, timeout_s: float) -> "ChannelChecks":
        """Return the checks. One request per transport covers all channels of the transport."""
        paths: dict[Transport, list[str]] = {}
        for each in settings.channels:
            paths.setdefault(settings.transport_of(each), []).append(each.path)
        refusals = {
            transport: Once(partial(_TRIALS[transport], session, asked), session.clock, timeout_s=timeout_s)
            for transport, asked in paths.items()
        }
        return cls(settings=settings, session=session, refusals=refusals)

    def checks(self) -> Iterator[Check]:
        """Yield a check for each channel."""
        for each in self.settings.channels:
            run = partial(self._examined, each.path, self.settings.transport_of(each))
            yield Check(area=Area.CHANNELS, name=each.path, run=run)

    async def end(self) -> None:
        """Cancel requests that still run."""
        for each in self.refusals.values():
            await each.end()

    async def _examined(self, path: str, transport: Transport) -> Sequence[CheckResult]:
        await self.session.token.needed(LOGIN)
        refused = await self.refusals[transport]()
        missing = await self._missing(path)
        is_announced = all(each.status is CheckStatus.SKIPPED for each in missing)
        # Salesforce refuses an unknown channel and the channel of an unselected entity in the
        # same way.
        if path in refused and (is_announced or Carried.by(path).name is None):
            return [_refused(path, refused[path])]
        if not is_announced:
            return missing
        hours = round(ChannelKind.of(path).retention_s / _HOUR_S)
        accepted = ok(
            f"the user can subscribe over {transport}; Salesforce keeps the events for {hours} hours"
        )
        return [accepted, *missing]

    async def _missing(self, path: str) -> Sequence[CheckResult]:
        """Return the wanted changes that the org does not announce on the channel at `path`."""
        if ChannelKind.of(path) is not ChannelKind.CHANGES:
            return []
        try:
            setup = await self.session.setup()
        except StreamerError as error:
            return [skipped(f"Streamer can't read which entities Change Data Capture selects: {error}")]
        patterns = {str(name): each.on for name, each in self.settings.subscribers.items()}
        paths = [each.path for each in self.settings.channels]
        return list(selection_verdicts(setup, path, patterns, paths))


def selection_verdicts(
    setup: ChannelSetup, path: str, patterns: Mapping[str, Sequence[str]], paths: Sequence[str]
) -> Iterator[CheckResult]:
    """Yield a fault for each wanted change that the org does not announce on the channel at `path`.

    `patterns` are the subscribers' patterns by subscriber, and `paths` are all
    configured channels.
    """
    if not setup.members:
        yield warning(
            "no entity is selected on any channel, so the org sends no changes",
            f"select the entities that you want with {_command(path, 'ENTITY')}",
        )
        return
    entity = Carried.by(path).name
    if not setup.carried(path):
        unselected = f"does not select {entity}" if entity else "selects no entity for this channel"
        yield failed(
            f"Change Data Capture {unselected}, so no events arrive",
            f"select the entity with {_command(path, entity or 'ENTITY')}",
        )
        return
    if entity is not None:
        return
    announced = frozenset[str]().union(*map(setup.carried, paths))
    for wanted, subscribers in _wanted(patterns, announced).items():
        waiting = f"{', '.join(subscribers)} {'waits' if len(subscribers) == 1 else 'wait'}"
        yield failed(
            f"Change Data Capture does not select {wanted}, but {waiting} for changes of {wanted}",
            f"select the entity with {_command(path, wanted)}",
        )


def _wanted(patterns: Mapping[str, Sequence[str]], announced: frozenset[str]) -> Mapping[str, list[str]]:
    """Return the subscribers of each entity that a pattern names, but that is not in `announced`."""
    wanted: dict[str, list[str]] = {}
    for subscriber, each in patterns.items():
        for entity in {_entity_of(pattern) for pattern in each} - announced - {None}:
            wanted.setdefault(str(entity), []).append(subscriber)
    return wanted


def _entity_of(pattern: str) -> str | None:
    """Return the entity in a pattern of change events, or `None` if the entity has a wildcard."""
    parts = pattern.split(".")
    if parts[:2] != ["salesforce", "cdc"] or len(parts) < _PARTS_TO_ENTITY or not parts[2].isidentifier():
        return None
    return parts[2]


def _command(path: str, entity: str) -> str:
    name = path.rpartition("/")[2]
    if name.endswith("__chn"):
        return f"streamer org channels add {name} {entity}"
    return f"streamer org cdc enable {entity}"


def _refused(path: str, said: str) -> CheckResult:
    remedy = "check the channel's name, and give the user in org.auth the right to read the channel"
    if ChannelKind.of(path) is ChannelKind.CHANGES:
        remedy = (
            "check the channel's name, and give the user in org.auth the permission View All Records for "
            "the entity, or View All Data"
        )
    return failed(f"Salesforce refuses the subscription ({said or 'Salesforce gives no reason'})", remedy)
