"""An org of very many accounts in a separate process, which changes on command.

The process prints its address in a line of JSON, and then reads commands: `change`
begins to change records. `rest` stops the changes, creates one last record and
prints its id. `dump PATH` writes all records.
"""

import argparse
import asyncio
import random
import sys
from contextlib import suppress
from pathlib import Path

import orjson

from streamer.clock import SystemClock
from streamer.sandbox import Sandbox

_AT_ONCE = 5_000
_PAUSE_S = 0.02
_LIFE = 20


class _LateClock(SystemClock):
    """The clock, but `behind_s` late: what is created meanwhile is old."""

    behind_s = 2 * 24 * 3600.0

    def now(self) -> float:
        """Return the time in epoch seconds."""
        return super().now() - self.behind_s


async def _main(records: int) -> None:
    clock = _LateClock()
    async with Sandbox(clock) as sandbox:
        ids: list[str] = []
        while len(ids) < records:
            with sandbox.org.transaction() as transaction:
                ids += [
                    transaction.create("Account", {"Name": f"Account {number}", "Phone": "0"})
                    for number in range(len(ids), min(len(ids) + _AT_ONCE, records))
                ]
            # Nobody is to read their creations.
            sandbox.faults.expire_events()
            await asyncio.sleep(0)
        clock.behind_s = 0.0
        _say({"url": sandbox.url, "records": len(ids)})
        changing: asyncio.Task[None] | None = None
        loop = asyncio.get_running_loop()
        while line := (await loop.run_in_executor(None, sys.stdin.readline)).split():
            if line[0] == "change":
                changing = asyncio.create_task(_change(sandbox, ids))
            elif line[0] == "rest":
                if changing is not None:
                    changing.cancel()
                    with suppress(asyncio.CancelledError):
                        await changing
                with sandbox.org.transaction() as transaction:
                    _say({"last": transaction.create("Account", {"Name": "Last"})})
            elif line[0] == "dump":
                _dump(sandbox, Path(line[1]))
                _say({"dumped": line[1]})


async def _change(sandbox: Sandbox, ids: list[str]) -> None:
    """Update, delete, restore and create records, fifty times a second."""
    draw, deleted = random.Random(1), list[str]()  # noqa: S311 - changes of a test
    number = 0
    while True:
        number += 1
        with sandbox.org.transaction() as transaction:
            if number % _LIFE == 0:
                gone = ids.pop(draw.randrange(len(ids)))
                transaction.delete("Account", gone)
                deleted.append(gone)
            elif number % _LIFE == 1 and len(deleted) > _LIFE:
                restored = deleted.pop(draw.randrange(len(deleted)))
                transaction.undelete("Account", restored)
                ids.append(restored)
            elif number % _LIFE == 2:
                ids.append(transaction.create("Account", {"Name": f"New {number}"}))
            else:
                transaction.update("Account", draw.choice(ids), {"Phone": str(number)})
        await asyncio.sleep(_PAUSE_S)


def _dump(sandbox: Sandbox, path: Path) -> None:
    with path.open("wb") as file:
        for record in sandbox.org.records.all(sandbox.org.schema.entity("Account")):
            if not record["IsDeleted"]:
                file.write(orjson.dumps([record["Id"], record["Name"], record.get("Phone")]) + b"\n")


def _say(what: object) -> None:
    print(orjson.dumps(what).decode(), flush=True)  # noqa: T201 - its protocol


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, required=True)
    asyncio.run(_main(parser.parse_args().records))
