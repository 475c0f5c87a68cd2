"""Trial of subscriptions over the Streaming API, which reads nothing."""

from collections.abc import Mapping, Sequence
from contextlib import aclosing

from streamer.doctor.org import OrgSession
from streamer.errors import SalesforceUnavailable
from streamer.salesforce.cometd import protocol
from streamer.salesforce.cometd.session import BayeuxOptions, BayeuxSession, SessionLost

_NEW_ONLY = -1


async def refusals(session: OrgSession, paths: Sequence[str]) -> Mapping[str, str]:
    """Return Salesforce's words about each of `paths` that it refuses.

    Subscribes from now on, in a session of its own, and ends that session
    without asking for events, so that no other client loses any. Raises
    `SalesforceUnavailable` without an answer.
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
        raise SalesforceUnavailable(f"the Streaming API serves no session ({lost})") from lost
    return refused
