"""Reloading: checks and applies a changed configuration."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field

import structlog

from streamer.app.plan import Plan, plan
from streamer.clock import Clock
from streamer.configuration import Document, Fingerprints, fingerprints
from streamer.errors import ConfigurationError
from streamer.observe.metrics import Metrics
from streamer.salesforce.auth.logins import Logins

_log = structlog.get_logger()

_LOOK_S = 2.0


@dataclass(slots=True, kw_only=True)
class Reloading:
    """Applies the configuration when its files have changed, secrets included, or on request.

    It is checked to the last expression before any of it is applied. A mistake
    is logged, and the configuration in effect stays.
    """

    document: Document
    read: Callable[[], Document]
    apply: Callable[[Plan], Awaitable[None]]
    clock: Clock
    metrics: Metrics
    logins: Logins
    _asked: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    _seen: Fingerprints = field(default_factory=dict, init=False)
    _is_unread: bool = field(default=False, init=False)
    _refusal: str = field(default="", init=False)

    def request(self) -> None:
        """Read the files again, even if they have not changed."""
        self._asked.set()

    async def run(self) -> None:
        """Watch the files until cancelled."""
        self.metrics.process.configuration_applied()
        while True:
            with suppress(TimeoutError):
                async with self.clock.timeout(_LOOK_S):
                    await self._asked.wait()
            # A configuration that can't be read can lack a file that is not watched yet.
            if self._asked.is_set() or self._is_unread or await self._have_changed():
                await self._reload()

    async def _have_changed(self) -> bool:
        """Return true when the files differ and have been the same twice: no process writes them."""
        seen = await asyncio.to_thread(fingerprints, self.document.fingerprints)
        is_steady, self._seen = seen == self._seen, seen
        return is_steady and seen != self.document.fingerprints

    async def _reload(self) -> None:
        was_asked = self._asked.is_set()
        self._asked.clear()
        try:
            checked = await asyncio.to_thread(self._checked)
        except ConfigurationError as error:
            self._refuse(str(error), was_asked=was_asked)
        except Exception as error:  # noqa: BLE001 - the one in effect works on
            # Its text can repeat the files, which hold secrets.
            self._refuse(f"checking it raised {type(error).__name__}", was_asked=was_asked)
        else:
            if self._refusal:
                _log.info("configuration.restored", reason="the files have no mistake any more")
            self._refusal = ""
            # First: Salesforce can refuse it while it is applied, and that must not be overwritten.
            self.metrics.process.configuration_applied()
            await self.apply(checked)

    def _refuse(self, reason: str, *, was_asked: bool) -> None:
        # The same mistake is logged once, and again on request.
        if was_asked or reason != self._refusal:
            _log.error("configuration.refused", reason=reason, in_effect="the former one")
        self._refusal = reason
        self.metrics.process.configuration_refused()

    def _checked(self) -> Plan:
        self._is_unread = True
        document = self.read()
        self._is_unread = False
        self.document = document
        return plan(document, self.clock, self.logins)
