"""What every subscriber with one HTTP target does alike: opening and closing it."""

from types import TracebackType
from typing import Self

from subscribers.http.target import HttpTarget


class HttpSubscriber:
    """Holds the target open for as long as the subscriber is; a plugin adds `deliver`."""

    def __init__(self, http: HttpTarget) -> None:
        self._http = http

    async def __aenter__(self) -> Self:
        """Open the connection; raises `ConfigurationError` for unusable certificates."""
        await self._http.__aenter__()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._http.__aexit__(exc_type, exc, traceback)
