"""Base classes of subscribers with one HTTP target."""

from __future__ import annotations

from abc import ABC, abstractmethod
from types import TracebackType
from typing import TYPE_CHECKING, Self

from subscribers.http.target import HttpTarget, Request

if TYPE_CHECKING:
    from streamer.events import Delivery, Outcome
    from streamer.ports import Preview, TargetReport
    from subscribers.http.answer import Answer


class HttpSubscriber:
    """Base that opens and closes an HTTP target; a subscriber adds `deliver`, and a look-up adds `read`.

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

    async def examine_target(self) -> TargetReport:
        """Test the address, TLS and the token endpoint with a request that changes nothing."""
        return await self._http.examined()


class RequestSubscriber(HttpSubscriber, ABC):
    """Base of a subscriber that sends one request for each delivery, and can preview this request.

    A plugin adds `request` and `deliver`.
    """

    @abstractmethod
    def request(self, delivery: Delivery, /) -> Request | Outcome:
        """Return the request to send, or the outcome if there is nothing to send."""

    async def exchange(self, delivery: Delivery, /) -> Answer | Outcome:
        """Send the request once; return the target's answer, or the outcome if there is no answer."""
        request = self.request(delivery)
        return await self._http.send(request) if isinstance(request, Request) else request

    def preview(self, delivery: Delivery, /) -> Preview | Outcome:
        """Return the request with secrets masked, or the outcome if there is no request."""
        request = self.request(delivery)
        return self._http.preview(request) if isinstance(request, Request) else request
