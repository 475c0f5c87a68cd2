"""Base of subscribers with one HTTP target."""

from types import TracebackType
from typing import Self

from subscribers.http.target import HttpTarget


class HttpSubscriber:
    """Subscriber that opens and closes its target; a plugin adds `deliver`.

    Entering raises `ConfigurationError` for unusable certificates.
    """

    def __init__(self, http: HttpTarget) -> None:
        self._http = http

    async def __aenter__(self) -> Self:
        await self._http.__aenter__()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._http.__aexit__(exc_type, exc, traceback)
