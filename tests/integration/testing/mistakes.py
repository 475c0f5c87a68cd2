"""Plugins that each make one mistake."""

# ruff: noqa: D102 - what each method does wrong is said of its class

import asyncio
from typing import Any, Self
from uuid import uuid4

import aiohttp
from pydantic import BaseModel

from streamer.errors import ConfigurationError
from streamer.events import Delivered, Delivery, Outcome, Reject, Retry
from tests.integration.testing.careful import Careful


class Raises(Careful):
    """Lets a library raise for a status."""

    def judged(self, response: aiohttp.ClientResponse, said: str) -> Outcome:
        response.raise_for_status()
        return Delivered(answer={"said": said})

    async def deliver(self, delivery: Delivery, /) -> Outcome:
        return await self.post(delivery)


class ReturnsNothing(Careful):
    """Forgets to say what came of it."""

    def judged(self, response: aiohttp.ClientResponse, said: str) -> Outcome:
        return super().judged(response, said) if response.status != 500 else None  # type: ignore[return-value] # this is the mistake


class TriesEverythingAgain(Careful):
    """Takes every failure for one that passes."""

    def judged(self, response: aiohttp.ClientResponse, said: str) -> Outcome:
        return Delivered() if response.status == 200 else Retry(reason=said)


class RejectsWhoMustLogIn(Careful):
    """Makes dead letters of a rotated key."""

    def judged(self, response: aiohttp.ClientResponse, said: str) -> Outcome:
        return Reject(reason=said) if response.status == 401 else super().judged(response, said)


class IgnoresPauses(Careful):
    """Does not read Retry-After."""

    def pause_s(self, asked: str) -> float:  # noqa: ARG002 - not to look at it is the mistake
        return 60.0


class ReadsSecondsAlone(Careful):
    """Falls over a date."""

    def pause_s(self, asked: str) -> float:
        return float(asked)


class BelievesEveryPause(Careful):
    """Stops for centuries when it is told to."""

    def pause_s(self, asked: str) -> float:
        return float(asked) if asked.isdigit() else 10.0


class FollowsRedirects(Careful):
    """Leaves it to the library."""

    def options(self) -> dict[str, Any]:
        return {}


class NeverGivesUp(Careful):
    """Waits for ever."""

    def timeout_s(self) -> float | None:
        return None

    def options(self) -> dict[str, Any]:
        return super().options() | {"timeout": aiohttp.ClientTimeout(total=None)}


class SwallowsCancellation(Careful):
    """Takes its own end for a failure."""

    async def deliver(self, delivery: Delivery, /) -> Outcome:
        try:
            return await super().deliver(delivery)
        except asyncio.CancelledError:
            return Retry(reason="cancelled")


class ParsesAnything(Careful):
    """Believes that answers are JSON."""

    async def post(self, delivery: Delivery) -> Outcome:  # noqa: ARG002 - not to look at it is the mistake
        async with self.session.post(self.settings.url, timeout=aiohttp.ClientTimeout(total=10)) as response:
            return Delivered(answer=await response.json())


class KeepsWholeAnswers(Careful):
    """Reads and keeps whatever comes."""

    async def post(self, delivery: Delivery) -> Outcome:  # noqa: ARG002 - not to look at it is the mistake
        async with self.session.post(self.settings.url) as response:
            return self.judged(response, (await response.read()).decode(errors="replace"))


class ShowsItsToken(Careful):
    """Keeps what the target repeats."""

    def cleaned(self, said: str) -> str:
        return said


class NewKeyEachTime(Careful):
    """Makes up a key for each attempt."""

    def key(self, delivery: Delivery) -> str:  # noqa: ARG002 - not to look at it is the mistake
        return uuid4().hex


class SameKeyForAll(Careful):
    """Sends one key for everything."""

    def key(self, delivery: Delivery) -> str:  # noqa: ARG002 - not to look at it is the mistake
        return "streamer"


class EventIdForKey(Careful):
    """Sends the event's id, which two subscribers of one target have in common."""

    def key(self, delivery: Delivery) -> str:
        return delivery.event.id


class NoKey(Careful):
    """Sends none."""

    async def post(self, delivery: Delivery) -> Outcome:  # noqa: ARG002 - not to look at it is the mistake
        async with self.session.post(self.settings.url) as response:
            return self.judged(response, "")


class KeyAsItIs(Careful):
    """Does not quote the key."""

    def key(self, delivery: Delivery) -> str:
        return delivery.key


class SharesItsState(Careful):
    """Keeps the outcome of one delivery where the next one finds it."""

    async def deliver(self, delivery: Delivery, /) -> Outcome:
        self.outcome = await super().deliver(delivery)
        await asyncio.sleep(0.01)
        return self.outcome


class TakesOneAtATime(Careful):
    """Can't deliver while it delivers."""

    busy = False

    async def deliver(self, delivery: Delivery, /) -> Outcome:
        if self.busy:
            return Retry(reason="busy")
        self.busy = True
        outcome = await super().deliver(delivery)
        self.busy = False
        return outcome


class NeverCloses(Careful):
    """Keeps its connections."""

    kept: list[aiohttp.ClientSession] = []  # noqa: RUF012 - the mistake itself

    async def __aexit__(self, *_: object) -> None:
        """Close too little."""
        self.kept.append(self.session)


class ForgetsASession(Careful):
    """Opens two sessions and closes one."""

    async def __aenter__(self) -> Self:
        """Open one too many."""
        self.other = aiohttp.ClientSession()
        return await super().__aenter__()


class ForgetsATask(Careful):
    """Starts what nobody ends."""

    async def __aenter__(self) -> Self:
        """Begin to beat."""
        self.task = asyncio.create_task(asyncio.sleep(60), name="heartbeat")
        return await super().__aenter__()


class OpensOnce(Careful):
    """Can't be opened after it was closed."""

    opened: set[str] = set()  # noqa: RUF012 - the mistake itself

    async def __aenter__(self) -> Self:
        """Refuse what was open before."""
        if self.settings.url in self.opened:
            raise ConfigurationError("is in use")
        self.opened.add(self.settings.url)
        return await super().__aenter__()


class StopsWithoutTarget(Careful):
    """Takes a target that is away for a mistake of the configuration."""

    async def __aenter__(self) -> Self:
        """Say that nobody listens."""
        if self.settings.url.endswith(":1"):
            raise ConfigurationError("nobody listens at url")
        return await super().__aenter__()


class PlainSettings(BaseModel):
    """A token that anyone may read."""

    url: str
    token: str


class ShowsItsSettings(Careful):
    """Reads its token as a text."""

    Settings = PlainSettings


class WantsASubject(Careful):
    """Believes that every event is about a record."""

    async def post(self, delivery: Delivery) -> Outcome:
        assert delivery.event.subject
        return await super().post(delivery)
