"""Label of the process whose state the pages and the map show."""

import os
import socket
from dataclasses import dataclass
from typing import Self

from streamer.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessLabel:
    """Host and number of this process.

    `is_shared` is true if the log can have further processes, whose state is then
    missing here; `others` are the addresses of their consoles, as far as they are
    configured.
    """

    name: str = ""
    is_shared: bool = False
    others: tuple[str, ...] = ()

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Return the label of this process. A log in SQLite has only one process."""
        return cls(
            name=f"{socket.gethostname()}, process {os.getpid()}",
            is_shared=settings.log.kafka is not None,
            others=settings.admin.console.others if settings.admin else (),
        )
