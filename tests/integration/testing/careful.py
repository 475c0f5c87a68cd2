"""A correct plugin that shares no code with ours."""

from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Any, ClassVar, Self
from urllib.parse import quote

import aiohttp
from pydantic import BaseModel, SecretStr

from streamer.events import Delivered, Delivery, Disable, Hold, Outcome, Reject, Retry
from streamer.ports import PluginContext


class CarefulSettings(BaseModel):
    """Where to post, and with which token."""

    url: str
    token: SecretStr = SecretStr("")


class Careful:
    """Posts events with nothing but aiohttp; each part of it may be done wrong by a subclass."""

    Settings: ClassVar[type[BaseModel]] = CarefulSettings

    def __init__(self, settings: CarefulSettings, context: PluginContext) -> None:
        """Prepare; no I/O happens yet."""
        self.settings = settings
        self.clock = context.clock
        self.token = settings.token.get_secret_value()

    async def __aenter__(self) -> Self:
        """Open a session."""
        self.session = aiohttp.ClientSession()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close it."""
        await self.session.close()

    async def deliver(self, delivery: Delivery, /) -> Outcome:
        """Post once."""
        try:
            async with self.clock.timeout(self.timeout_s()):
                return await self.post(delivery)
        except (aiohttp.ClientError, OSError) as error:
            return Retry(reason=type(error).__name__)

    async def post(self, delivery: Delivery) -> Outcome:
        """Send the request and judge what comes back."""
        headers = {"Idempotency-Key": self.key(delivery), "Authorization": f"Bearer {self.token}"}
        body = repr(delivery.event).encode()
        request = self.session.post(self.settings.url, data=body, headers=headers, **self.options())
        async with request as response:
            said = (await response.content.read(1_000)).decode(errors="replace")
            return self.judged(response, self.cleaned(said))

    def judged(self, response: aiohttp.ClientResponse, said: str) -> Outcome:
        """Return what the answer means."""
        match response.status:
            case status if status < 300:
                return Delivered(answer={"said": said})
            case 401 | 403:
                return Hold(reason=said, after_s=60)
            case 410:
                return Disable(reason=said)
            case 429 | 503:
                return Hold(reason=said, after_s=self.pause_s(response.headers.get("Retry-After", "")))
            case 408 | 425 | 500 | 502 | 504:
                return Retry(reason=said)
            case _:
                return Reject(reason=said)

    def timeout_s(self) -> float | None:
        """Return how long an attempt may take."""
        return 10.0

    def key(self, delivery: Delivery) -> str:
        """Return the delivery's key as a header takes it."""
        return quote(delivery.key)

    def options(self) -> dict[str, Any]:
        """Return what else the request is sent with."""
        return {"allow_redirects": False}

    def cleaned(self, said: str) -> str:
        """Return what the target said, without our secrets."""
        return said.replace(self.token, "***") if self.token else said

    def pause_s(self, asked: str) -> float:
        """Return how long the target wants to be left alone."""
        try:
            pause_s = float(asked) if asked.isdigit() else self._until(asked)
        except ValueError:
            return 10.0
        return min(max(pause_s, 1.0), 3_600.0)

    def _until(self, date: str) -> float:
        return parsedate_to_datetime(date).timestamp() - self.clock.now()
