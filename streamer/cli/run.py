"""The command `streamer run`."""

import asyncio
import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from typing import Annotated

import structlog
import typer

from streamer import DISTRIBUTION
from streamer.app.daemon import App, Role
from streamer.app.plan import plan
from streamer.app.supervising import DaemonOptions
from streamer.cli.output import REFUSED, Config, failures_reported, print_failure
from streamer.cli.signals import until_signalled
from streamer.clock import SystemClock
from streamer.configuration import load_document
from streamer.observe import logs
from streamer.observe.logs import RecentLines
from streamer.supervision.health import Watchdog

_log = structlog.get_logger()

# Events create many small objects without cycles. A search for cycles after every few hundred
# objects would cost a tenth of the time.
_COLLECTED_AFTER = (50_000, 20, 100)


def run(
    config: Config,
    role: Annotated[
        Role,
        typer.Option(
            metavar="|".join(Role),
            help=(
                "Run all parts in this process, or only some: ingest reads Salesforce, dispatch delivers "
                "events and keeps record states, state only keeps record states."
            ),
        ),
    ] = Role.ALL,
) -> None:
    """Run the daemon: carry events until SIGTERM or Ctrl-C, then finish open deliveries and exit.

    Exits 2 when the configuration has a mistake, 1 when an operator must act first
    (credentials, permissions, the log), 0 after a clean stop.

    The daemon applies changed files, including secrets, within seconds, or at once
    on SIGHUP. If the files have a mistake, the previous configuration stays in
    effect. If the daemon's terminal is closed, the daemon stops. A second signal stops
    the daemon at once: no event is lost, but the next run repeats the deliveries that
    were under way.
    """
    failures = _Failures(as_json=logs.are_json("auto"))
    with failures.told():
        reread = partial(load_document, config)
        checked = plan(reread(), SystemClock())
        observe = checked.settings.observe
        recent = RecentLines(sys.stderr)
        logs.configure(observe.log_format, observe.log_level, recent)
        failures.as_json = logs.are_json(observe.log_format)
        _log.info("daemon.starting", version=version(DISTRIBUTION), role=role, files=list(map(str, config)))
        # Imported objects stay for good: no search for cycles needs to visit them.
        gc.collect()
        gc.freeze()
        gc.set_threshold(*_COLLECTED_AFTER)
        watchdog = Watchdog(sys.stderr)
        options = DaemonOptions(reread=reread, watchdog=watchdog, log_lines=lambda: recent.lines)
        daemon = App.of(checked, SystemClock(), role, options)
        asyncio.run(until_signalled(daemon.run, on_hangup=daemon.reload))


@dataclass(slots=True, kw_only=True)
class _Failures:
    """Reports why the daemon ended: as a log event if the log is JSON, otherwise as a sentence."""

    as_json: bool

    @contextmanager
    def told(self) -> Iterator[None]:
        """Report a failure inside the context, including an internal error of Streamer, and exit."""
        if self.as_json:
            logs.configure()
        try:
            with failures_reported(self._tell):
                yield
        except Exception as error:
            if isinstance(error, typer.Exit) or not self.as_json:
                raise
            _log.exception(
                "daemon.failed",
                reason="Internal error in Streamer; please report this log line to Streamer's authors.",
            )
            raise typer.Exit(REFUSED) from None

    def _tell(self, sentence: str) -> None:
        if self.as_json:
            _log.error("daemon.failed", reason=sentence)
        else:
            print_failure(sentence)
