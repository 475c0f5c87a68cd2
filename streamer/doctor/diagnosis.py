"""Diagnosis: collects and runs the checks of a configuration."""

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from streamer.app.assembly import open_history
from streamer.app.plan import Plan, plan
from streamer.app.plugins import checked_settings
from streamer.clock import Clock
from streamer.configuration import Document, dotted, load_document, named_files
from streamer.doctor.channels import ChannelChecks
from streamer.doctor.check import (
    Area,
    Check,
    CheckResult,
    CheckStatus,
    Finding,
    Inapplicable,
    Once,
    counted,
    examine,
    ok,
    warning,
)
from streamer.doctor.configuration import field_checks, file_checks, secret_files
from streamer.doctor.org import OrgSession, clock_checks, limit_checks, opened, org_checks
from streamer.doctor.sqlite import sqlite_checks
from streamer.doctor.targets import service_checks, target_checks
from streamer.errors import ConfigurationError
from streamer.events import Checkpoint
from streamer.settings import Settings, SqliteLogSettings

Progress = Callable[[int, int], None]
"""Callback that gets the number of ended checks, and the number of all checks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """Findings about a set-up. `is_configured` is false when the configuration has a mistake."""

    findings: Sequence[Finding]
    is_configured: bool

    @property
    def has_failed(self) -> bool:
        """True when a check found a fault."""
        return any(each.verdict.status is CheckStatus.FAILED for each in self.findings)


@dataclass(slots=True, kw_only=True)
class Doctor:
    """Checks the set-up that configuration files describe; changes nothing, and takes no daemon's work.

    `areas` selects the areas to check, and `timeout_s` is the time-out of each
    check.
    """

    clock: Clock
    areas: Collection[Area] = field(default_factory=lambda: frozenset(Area))
    timeout_s: float = 20.0
    progress: Progress = lambda _done, _all: None

    async def diagnose(self, files: Sequence[Path]) -> Diagnosis:
        """Return the findings about the configuration in `files`, and about the configured set-up."""
        try:
            document = load_document(files)
        except ConfigurationError as error:
            return Diagnosis(findings=_mistakes(error), is_configured=False)
        try:
            checked = plan(document, self.clock)
        except ConfigurationError as error:
            found = await self._run(list(file_checks(secret_files(document), {}, self.clock)))
            return Diagnosis(findings=[*_mistakes(error), *found, *self._unchecked()], is_configured=False)
        async with self._checks(checked, document) as checks:
            found = await self._run(checks)
        return Diagnosis(findings=found, is_configured=True)

    async def _run(self, checks: Sequence[Check]) -> list[Finding]:
        wanted = [each for each in checks if each.area in self.areas]
        done = 0

        def ended(_: Check) -> None:
            nonlocal done
            done += 1
            self.progress(done, len(wanted))

        return await examine(wanted, self.clock, timeout_s=self.timeout_s, progress=ended)

    def _unchecked(self) -> Iterator[Finding]:
        """Yield a finding for each area that stays unchecked because of a configuration mistake."""
        for area in Area:
            if area in self.areas and area not in {Area.CONFIGURATION, Area.FILES}:
                reason = CheckResult(
                    CheckStatus.SKIPPED, "this check needs a configuration without a mistake"
                )
                yield Finding(area=area, name=area.value, verdict=reason)

    @asynccontextmanager
    async def _checks(self, checked: Plan, document: Document) -> AsyncIterator[list[Check]]:
        """Yield all checks. The end of the context closes the sessions that the checks share."""
        settings, timeout_s = checked.settings, self.timeout_s
        async with AsyncExitStack() as stack:
            session = await stack.enter_async_context(
                opened(settings.org, checked.logins, timeout_s=timeout_s)
            )
            channels = ChannelChecks.of(settings, session, timeout_s=timeout_s)
            stack.push_async_callback(channels.end)
            log, checkpoints = self._log(settings, session, stack)
            yield [
                Check(area=Area.CONFIGURATION, name="configuration", run=_configured(checked)),
                *file_checks(secret_files(document), _named(checked, document), self.clock),
                *clock_checks(session),
                *org_checks(session, checkpoints),
                *channels.checks(),
                *limit_checks(settings, session),
                *log,
                *field_checks(settings, session, timeout_s=timeout_s),
                *target_checks(settings.subscribers, checked.subscribers),
                *service_checks(checked.enrichments, self.clock),
            ]

    def _log(
        self, settings: Settings, session: OrgSession, stack: AsyncExitStack
    ) -> tuple[Sequence[Check], Once[Sequence[Checkpoint]]]:
        """Return the checks of the log, and the shared call that reads the log's checkpoints."""
        clock, timeout_s = self.clock, self.timeout_s
        if settings.log.kafka is not None:
            from streamer.doctor.kafka import KafkaChecks  # noqa: PLC0415 - costs a fifth of a second
            from streamer.doctor.schemas import SchemaChecks  # noqa: PLC0415 - as above

            kafka = KafkaChecks(settings.log.kafka, settings, clock, timeout_s=timeout_s)
            stack.push_async_callback(kafka.end)
            schemas = SchemaChecks(settings.log.kafka, settings, session)
            checks: Iterable[Check] = [*kafka.checks(), *schemas.checks()]
            ready = kafka.cluster
        else:
            ready = None
            checks = sqlite_checks(settings.log.sqlite or SqliteLogSettings(), clock)

        async def read() -> Sequence[Checkpoint]:
            if ready is not None:
                await ready()
            elif not (settings.log.sqlite or SqliteLogSettings()).path.is_file():
                return ()
            async with open_history(settings.log, clock) as history:
                return await history.checkpoints()

        checkpoints: Once[Sequence[Checkpoint]] = Once(read, clock, timeout_s=timeout_s)
        stack.push_async_callback(checkpoints.end)

        async def readable() -> CheckResult:
            if ready is not None:
                await ready.needed("the brokers")
            found = await checkpoints()
            if not found:
                raise Inapplicable("the log has no checkpoints yet")
            return ok(f"the checkpoints of {counted(len(found), 'channel')} can be read")

        return [*checks, Check(area=Area.LOG, name="checkpoints", run=readable)], checkpoints


def _mistakes(error: ConfigurationError) -> list[Finding]:
    """Return a finding for each mistake in a configuration, from the lines of `error`."""
    return [
        Finding(area=Area.CONFIGURATION, name="configuration", verdict=CheckResult(CheckStatus.FAILED, line))
        for line in str(error).splitlines()
    ]


def _configured(checked: Plan) -> Callable[[], Awaitable[Sequence[CheckResult]]]:
    async def run() -> Sequence[CheckResult]:
        settings = checked.settings
        kind = "Kafka" if settings.log.kafka else "SQLite"
        channels = counted(len(settings.paths), "channel")
        found = f"{channels}, the log in {kind}, {counted(len(settings.subscribers), 'subscriber')}"
        doubtful = [
            warning(each, "correct the rule, or keep the rule if you intend it") for each in checked.warnings
        ]
        return [ok(f"the configuration has no mistake: {found}"), *doubtful]

    return run


def _named(checked: Plan, document: Document) -> dict[Path, str]:
    """Return the files at settings' keys that end with `_file`, each with its key."""
    named = [*named_files(checked.settings)]
    for name, each in checked.settings.subscribers.items():
        own = checked_settings(each, name, document)
        named += named_files(own, ("subscribers", name, "settings"))
    return {path: dotted(keys) for keys, path in named}
