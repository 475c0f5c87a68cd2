"""Reloading of a changed configuration while the daemon runs."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Self

import structlog

from streamer.admin import AdminContext
from streamer.app.plan import Plan, plan
from streamer.app.routes import named_by
from streamer.clock import Clock
from streamer.configuration import Document, Fingerprints, fingerprints
from streamer.controls import AuditRecord
from streamer.errors import ConfigurationError, LogUnavailable
from streamer.events import JsonObject, SubscriberName
from streamer.ingest.reading.message_reader import Protection
from streamer.observe.process import ProcessMetrics
from streamer.salesforce.auth.flows import Logins
from streamer.settings import Settings
from streamer.supervision.monitor import Monitor, StuckLimits

_SOURCE = ("org", "channels", "outbound", "reconcile")
_PROTECTION = ("protect", "protection")
_RELOADABLE = ("subscribers", "tables", "tests", "hash_keys", "grace_period_s", *_PROTECTION, *_SOURCE)
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigurationChanges:
    """Differences between the current and a new configuration.

    `changes_source` is true when the org, the channels or the settings for reading them
    change. `changes_protection` is true when protected fields or their treatment
    change. `waiting` are the changed sections that take effect at the next start.
    """

    added: tuple[SubscriberName, ...]
    removed: tuple[SubscriberName, ...]
    changed: tuple[SubscriberName, ...]
    changes_source: bool
    changes_protection: bool
    waiting: tuple[str, ...]

    @classmethod
    def between(cls, old: Settings, new: Settings) -> "ConfigurationChanges":
        """Return the differences between `old` and `new`."""
        differing = [name for name in Settings.model_fields if getattr(old, name) != getattr(new, name)]
        before, after = old.subscribers, new.subscribers
        return cls(
            added=tuple(sorted(after.keys() - before.keys())),
            removed=tuple(sorted(before.keys() - after.keys())),
            changed=tuple(
                sorted(
                    name
                    for name in before.keys() & after.keys()
                    if before[name] != after[name]
                    or named_by(before[name], old) != named_by(after[name], new)
                )
            ),
            changes_source=any(name in _SOURCE for name in differing),
            changes_protection=any(name in _PROTECTION for name in differing),
            waiting=tuple(name for name in differing if name not in _RELOADABLE),
        )

    def as_json(self) -> JsonObject:
        """Return the differences for the log and the audit."""
        return {
            "added": list(self.added),
            "removed": list(self.removed),
            "changed": list(self.changed),
            "salesforce_read_anew": self.changes_source,
            "protection_changed": self.changes_protection,
            "waiting_for_restart": list(self.waiting),
        }


def reloadable(old: Settings, new: Settings) -> Settings:
    """Return `old` with the sections of `new` that a running process can follow."""
    return old.model_copy(update={name: getattr(new, name) for name in _RELOADABLE})


@dataclass(slots=True, kw_only=True)
class PlanInEffect:
    """Plan that the daemon follows, and the protection of fields that the plan's rules demand.

    `replaced` is set by each new plan. `source_replaced` is set if the new plan changes
    the org, the channels or the settings for reading them. After the first new plan,
    `is_reconfigured` is true.
    """

    plan: Plan
    protection: Protection = field(default_factory=Protection, init=False)
    is_reconfigured: bool = field(default=False, init=False)
    replaced: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    source_replaced: asyncio.Event = field(default_factory=asyncio.Event, init=False)

    def __post_init__(self) -> None:
        self._protect()

    @property
    def settings(self) -> Settings:
        """Current settings."""
        return self.plan.settings

    def apply(self, wanted: Plan) -> ConfigurationChanges:
        """Adopt the part of `wanted` that a running process can follow, and return all differences."""
        changes = ConfigurationChanges.between(self.settings, wanted.settings)
        self._replace(replace(wanted, settings=reloadable(self.settings, wanted.settings)))
        # Protection comes first: no event from now on may be stored under the old rules.
        self._protect()
        if changes.changes_source:
            self.source_replaced.set()
        return changes

    def return_to(self, former: Settings) -> None:
        """Restore the org and the channels of `former`, because Salesforce refused the new ones."""
        # Subscribers that use the org must also use the org that accepts their login.
        self._replace(self.plan.with_source(former))

    def _replace(self, plan: Plan) -> None:
        self.plan = plan
        self.is_reconfigured = True
        self.replaced.set()

    def _protect(self) -> None:
        """Apply the plan's protection rules to all events from now on."""
        self.protection.apply(self.settings.protect, self.settings.protection)
        for warning in self.plan.warnings:
            _log.warning("configuration.doubtful", reason=warning)


@dataclass(frozen=True, slots=True, kw_only=True)
class Applying:
    """Applies a new configuration to the daemon, and writes an audit record."""

    in_effect: PlanInEffect
    monitor: Monitor
    metrics: ProcessMetrics
    admin: AdminContext

    async def apply(self, wanted: Plan) -> None:
        """Apply the part of `wanted` that a running process can follow."""
        changes = self.in_effect.apply(wanted)
        self.monitor.limits = StuckLimits.of(self.in_effect.settings)
        self.metrics.set_restart_needed(bool(changes.waiting))
        _log.info("configuration.applied", **changes.as_json())
        await self._audit("configuration.applied", changes.as_json())

    async def _audit(self, what: str, detail: JsonObject) -> None:
        at = self.admin.clock.now()
        try:
            await self.admin.log.controls.note(AuditRecord(at=at, what=what, by="streamer", detail=detail))
        except LogUnavailable as error:
            _log.warning("audit.not_kept", what=what, reason=str(error))


_LOOK_S = 2.0


@dataclass(slots=True, kw_only=True)
class ConfigurationFiles:
    """Files of the configuration. `document` is the last content; `read` reads the files again."""

    document: Document
    read: Callable[[], Document]
    is_unread: bool = field(default=False, init=False)
    """True after the files could not be read.

    Then reading is tried again, because a missing file is not watched.
    """
    _seen: Fingerprints = field(default_factory=dict, init=False)

    async def have_changed(self) -> bool:
        """Return true when the files have changed and are no longer being written."""
        seen = await asyncio.to_thread(fingerprints, self.document.fingerprints)
        is_steady, self._seen = seen == self._seen, seen
        return is_steady and seen != self.document.fingerprints

    def reread(self) -> Document:
        """Read the files again; raises `ConfigurationError`."""
        self.is_unread = True
        self.document = document = self.read()
        self.is_unread = False
        return document


@dataclass(slots=True, kw_only=True)
class Reloading:
    """Applies the configuration when its files change, including secrets, or on request.

    The whole configuration is checked before any part is applied. After a mistake,
    the log names the mistake, and the current configuration stays in effect.
    """

    files: ConfigurationFiles
    apply: Callable[[Plan], Awaitable[None]]
    clock: Clock
    metrics: ProcessMetrics
    logins: Logins
    _asked: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    _refusal: str = field(default="", init=False)

    @classmethod
    def of(cls, read: Callable[[], Document], applying: Applying) -> Self:
        """Return the reloading of the files that `read` reads, beginning with the current plan."""
        plan = applying.in_effect.plan
        return cls(
            files=ConfigurationFiles(document=plan.document, read=read),
            apply=applying.apply,
            clock=applying.admin.clock,
            metrics=applying.metrics,
            logins=plan.logins,
        )

    def request(self) -> None:
        """Read the files again, even if they have not changed."""
        self._asked.set()

    async def run(self) -> None:
        """Watch the files until cancelled."""
        self.metrics.configuration_applied()
        while True:
            with suppress(TimeoutError):
                async with self.clock.timeout(_LOOK_S):
                    await self._asked.wait()
            if self._asked.is_set() or self.files.is_unread or await self.files.have_changed():
                await self._reload()

    async def _reload(self) -> None:
        was_asked = self._asked.is_set()
        self._asked.clear()
        try:
            checked = await asyncio.to_thread(self._checked)
        except ConfigurationError as error:
            self._refuse(str(error), was_asked=was_asked)
        except Exception as error:  # noqa: BLE001 - the one in effect works on
            # The error's text can repeat the files, which hold secrets.
            self._refuse(f"the check of the files raised {type(error).__name__}", was_asked=was_asked)
        else:
            if self._refusal:
                _log.info(
                    "configuration.restored", reason="the configuration files no longer contain a mistake"
                )
            self._refusal = ""
            # Recorded first, because Salesforce can refuse the configuration during `apply`, which
            # records the refusal.
            self.metrics.configuration_applied()
            await self.apply(checked)

    def _refuse(self, reason: str, *, was_asked: bool) -> None:
        # A repeated mistake is logged only on request.
        if was_asked or reason != self._refusal:
            _log.error("configuration.refused", reason=reason, in_effect="the previous configuration")
        self._refusal = reason
        self.metrics.configuration_refused()

    def _checked(self) -> Plan:
        return plan(self.files.reread(), self.clock, self.logins)
