"""Source of events over the Pub/Sub API: one stream per channel, all on one connection."""

import random as system_random
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from types import TracebackType
from typing import Self

from grpc import StatusCode

from streamer.clock import Clock
from streamer.errors import CredentialsRefused, SalesforceUnavailable, StreamerError
from streamer.eventbus import ConsumerEvent, ProducerEvent
from streamer.events import Batch, Channel, Checkpoint, JsonObject, Start, Unreadable
from streamer.salesforce.auth.tokens import Tokens
from streamer.salesforce.pubsub.avro import UnusableSchema
from streamer.salesforce.pubsub.connection import PubSubConnection
from streamer.salesforce.pubsub.errors import CallEnded, unserved
from streamer.salesforce.pubsub.options import PubSubOptions
from streamer.salesforce.pubsub.reader import ChannelReader, Position
from streamer.salesforce.pubsub.recovery import Login, PubSubSession, StreamRecovery
from streamer.salesforce.pubsub.schemas import Messages, Schemas
from streamer.salesforce.sessions import NullObserver, Reaction, RecoveryDelays, SessionObserver

_REFUSED_SCHEMA_S = 1.0
_SCHEMAS_REFUSED_S = 30.0


class PubSubSource:
    """Reads channels over the Pub/Sub API. Enter the source before you read, and leave it afterwards.

    Every channel has its own stream and recovery, so that one channel's failure
    does not disturb the other channels. All channels share the connection, the
    login and the schemas.
    """

    def __init__(
        self,
        tokens: Tokens,
        clock: Clock,
        *,
        options: PubSubOptions,
        observer: SessionObserver | None = None,
        random: Callable[[], float] = system_random.random,
    ) -> None:
        """Read the org of `tokens`; `random` returns numbers in [0, 1) for the jitter."""
        self._session = PubSubSession(
            connection=PubSubConnection(options, clock, random),
            login=Login(tokens, clock, RecoveryDelays(random)),
            options=options,
            clock=clock,
            observer=observer or NullObserver(),
        )
        self._random = random
        self._schemas = Schemas(self._schema, clock=clock)
        self._readers: dict[str, ChannelReader] = {}
        self._schemas_refused_at = -_SCHEMAS_REFUSED_S

    @property
    def subscribed(self) -> frozenset[str]:
        """Paths that Salesforce has accepted in their current streams."""
        return frozenset(path for path, reader in self._readers.items() if reader.is_subscribed)

    @property
    def overdue(self) -> Mapping[str, int]:
        """Number of consecutive streams without a timely answer, by path; paths with 0 are absent."""
        return {
            path: reader.recovery.overdue for path, reader in self._readers.items() if reader.recovery.overdue
        }

    async def __aenter__(self) -> Self:
        """Return the source; the first channel to be read opens the connection."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connection."""
        await self._session.connection.close()

    async def batches(self, channel: Channel, *, after: Checkpoint | Start) -> AsyncGenerator[Batch, None]:
        """Yield the batches of `channel` after `after`, the oldest first: see `streamer.ports.Source`."""
        if channel.path in self._readers:
            raise RuntimeError(f"the channel {channel} already has a consumer in this process")
        reader = self._readers[channel.path] = ChannelReader(
            channel=channel,
            position=Position.after(after),
            session=self._session,
            messages=Messages(channel.path, self._schemas),
            recovery=StreamRecovery(session=self._session, delays=RecoveryDelays(self._random)),
        )
        try:
            async with aclosing(reader.batches()) as batches:
                async for batch in batches:
                    yield batch
        finally:
            del self._readers[channel.path]

    def settle(self, checkpoint: Checkpoint, /) -> None:
        """When the stream of the checkpoint's channel ends, resume after `checkpoint`, which the log has."""
        reader = self._readers.get(checkpoint.channel.path)
        if reader is not None:
            reader.settle(checkpoint)

    async def message(self, piece: Unreadable, channel: Channel, /) -> JsonObject | Unreadable:
        """Return the message of a payload that was set aside: see `streamer.ports.PayloadReader`."""
        event = ProducerEvent(id=piece.event_uuid, schema_id=piece.schema_id, payload=piece.raw)
        consumed = ConsumerEvent(event=event, replay_id=piece.replay_id or b"")
        messages = Messages(channel.path, self._schemas)
        [message] = messages.of([consumed], await messages.readers([piece.schema_id]))
        return message

    async def _schema(self, schema_id: str) -> str:
        """Return the JSON of a schema; renew a refused token once.

        If Salesforce refuses the schema, ask once more, because Salesforce has just
        sent an event of that schema.
        """
        token = await self._session.login.token()
        tried: set[Reaction] = set()
        while True:
            try:
                return await self._session.connection.schema(schema_id, token)
            except CallEnded as ended:
                reaction = ended.reaction
                if reaction in tried or not self._can_try_again(reaction):
                    raise _failure(schema_id, ended) from ended
            tried.add(reaction)
            if reaction is Reaction.RENEW_TOKEN:
                token = await self._session.login.token(stale=token)
            else:
                await self._session.clock.sleep(_REFUSED_SCHEMA_S)

    def _can_try_again(self, reaction: Reaction) -> bool:
        if reaction is not Reaction.REFUSE_CHANNEL:
            return reaction is Reaction.RENEW_TOKEN
        # Many unknown schemas in a row must not delay the channels.
        now = self._session.clock.monotonic()
        if now < self._schemas_refused_at + _SCHEMAS_REFUSED_S:
            return False
        self._schemas_refused_at = now
        return True


def _failure(schema_id: str, ended: CallEnded) -> StreamerError:
    said = f"The event schema {schema_id!r} can't be read ({ended.detail})"
    match ended.reaction:
        case Reaction.REFUSE_CHANNEL if ended.status is StatusCode.PERMISSION_DENIED:
            return CredentialsRefused(f"{said}: check the user's permissions")
        case Reaction.REFUSE_CHANNEL:
            return UnusableSchema(said)
        case Reaction.GIVE_UP:
            return unserved(ended)
        case _:
            return SalesforceUnavailable(said, after_s=ended.after_s)
