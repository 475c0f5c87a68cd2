"""Plugins with mistakes, installed for one process: one blocks the loop, one never returns."""

from pathlib import Path

_PLUGINS = """
import asyncio, time
from pathlib import Path
from pydantic import BaseModel
from streamer.events import Delivered


class WithFlag(BaseModel):
    flag: str


class Plugin:
    Settings = WithFlag

    def __init__(self, settings, context):
        self.flag = Path(settings.flag)

    async def __aenter__(self):
        return self

    async def __aexit__(self, *exc):
        pass

    async def deliver(self, delivery):
        if self.flag.exists():
            await self.misbehave()
        return Delivered()


class Blocks(Plugin):
    async def misbehave(self):
        time.sleep(1.7)
        # The loop turns before the next block, which would count as the same one.
        await asyncio.sleep(0.5)


class NeverReturns(Plugin):
    async def misbehave(self):
        while True:
            try:
                await asyncio.sleep(600)
            except asyncio.CancelledError:
                pass
"""


def installed(directory: Path) -> dict[str, str]:
    """Install `blocks` and `never-returns`, and return the variables that a daemon needs to find them.

    They misbehave while their flag exists.
    """
    site = directory / "site"
    info = site / "misbehaving-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "misbehaving.py").write_text(_PLUGINS, encoding="utf-8")
    (info / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: misbehaving\nVersion: 1.0\n", encoding="utf-8"
    )
    (info / "entry_points.txt").write_text(
        "[streamer.subscribers]\nblocks = misbehaving:Blocks\nnever-returns = misbehaving:NeverReturns\n",
        encoding="utf-8",
    )
    return {"PYTHONPATH": str(site)}
