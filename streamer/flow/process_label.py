"""Label of the processes whose states the pages and the map show."""

import os
import socket
from dataclasses import dataclass
from typing import Self

from streamer.admin.processes.reports import ProcessReports
from streamer.settings import Settings


def process_name() -> str:
    """Return the host of this process, with its number unless it is the only process of a container."""
    host, number = socket.gethostname(), os.getpid()
    return host if number == 1 else f"{host} pid {number}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessLabel:
    """Name of this process, and names of the `others` whose shares are in the numbers.

    `is_shared` is true if the log can have further processes. `missing` are sentences
    about processes whose shares are not in the numbers. `consoles` are the addresses of
    other consoles, as far as they are configured.
    """

    name: str = ""
    is_shared: bool = False
    others: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    consoles: tuple[str, ...] = ()

    @classmethod
    def of(cls, settings: Settings, reports: ProcessReports) -> Self:
        """Return the label of this process. A log in SQLite has only one process."""
        return cls(
            name=reports.own.name,
            is_shared=settings.log.kafka is not None,
            others=tuple(name for name, _ in reports.answering),
            missing=tuple(reports.missing),
            consoles=settings.admin.console.others if settings.admin else (),
        )

    @property
    def names(self) -> str:
        """Number of the processes, and their names."""
        every = [f"{self.name} (this one)", *self.others]
        return f"{len(every)} {'process' if len(every) == 1 else 'processes'}: {', '.join(every)}"
