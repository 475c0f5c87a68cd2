"""Questions about topics to the Pub/Sub API, which read nothing."""

import random
from collections.abc import Mapping, Sequence

from streamer.doctor.org import OrgSession
from streamer.errors import SalesforceUnavailable
from streamer.eventbus import TopicRequest
from streamer.eventbus.calls import GET_TOPIC
from streamer.salesforce.auth.tokens import AccessToken
from streamer.salesforce.pubsub.connection import PubSubConnection
from streamer.salesforce.pubsub.errors import CallEnded
from streamer.salesforce.pubsub.options import PubSubOptions
from streamer.salesforce.recovery import Reaction

_REMEDY = ": check org.pubsub.endpoint, and that firewalls allow it"


async def refusals(session: OrgSession, paths: Sequence[str]) -> Mapping[str, str]:
    """Return Salesforce's words about each of `paths` to which the user can't subscribe.

    Raises `SalesforceUnavailable` without an answer.
    """
    token = await session.token()
    connection = PubSubConnection(PubSubOptions.of(session.settings), session.clock, random.random)
    try:
        asked = {path: await _refusal(connection, path, token) for path in paths}
    except CallEnded as ended:
        endpoint, detail = session.settings.pubsub.endpoint, ended.detail.removeprefix("UNAVAILABLE ")
        # A known fault of the connection comes with its own remedy.
        why = f": {detail}" if ": check " in detail or ": let " in detail else f" ({ended}){_REMEDY}"
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
    return "" if info.can_subscribe else "the user can't subscribe to it"
