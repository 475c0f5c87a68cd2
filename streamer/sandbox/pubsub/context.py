"""Dependencies that the parts of the Pub/Sub API share."""

from collections.abc import Callable
from dataclasses import dataclass

from streamer.clock import Clock
from streamer.sandbox.access.users import Users
from streamer.sandbox.faults.catalogue import Faults
from streamer.sandbox.org.bus import EventBus
from streamer.sandbox.org.org import SandboxOrg
from streamer.sandbox.pubsub.limits import PubSubLimits


@dataclass(frozen=True, slots=True, kw_only=True)
class PubSubContext:
    """Dependencies that all parts of the Pub/Sub API share.

    `user_of` returns the id of an access token's user, or `None` for an invalid token;
    this counts as a use of the token.
    """

    org: SandboxOrg
    bus: EventBus
    users: Users
    faults: Faults
    clock: Clock
    limits: PubSubLimits
    user_of: Callable[[str], str | None]
