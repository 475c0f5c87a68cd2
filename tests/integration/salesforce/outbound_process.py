"""A process that receives outbound messages into a file: `FILE PORT`, and `kill` to end at a bad moment.

With `kill`, it is killed right after a commit, and before Salesforce is answered.
"""

import asyncio
import os
import signal
import sys
from pathlib import Path

from streamer.clock import SystemClock
from streamer.log.sqlite import SqliteLog
from streamer.log.sqlite.rows.appends import AppendRows
from streamer.settings import OutboundSettings, SqliteLogSettings
from tests.outbound import MESSAGES, receiving


class _KilledAfterCommit(SqliteLog):
    async def _write(self, append: AppendRows) -> None:
        await super()._write(append)
        os.kill(os.getpid(), signal.SIGKILL)


async def main(file: str, port: str, kill: str = "") -> None:
    """Receive until killed."""
    log = _KilledAfterCommit if kill else SqliteLog
    settings = OutboundSettings(host="localhost", port=int(port), messages=MESSAGES)
    async with (
        log.open(SqliteLogSettings(path=Path(file)), SystemClock()) as opened,
        receiving(opened, settings=settings) as receiver,
    ):
        print(receiver.port, flush=True)  # noqa: T201 - whoever has started it reads this
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
