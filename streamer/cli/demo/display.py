"""Output of the demo: a live picture on a terminal, plain lines in a pipe, the verdict, and a browser."""

import asyncio
import os
import subprocess
import sys
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field

from rich.console import Console
from rich.live import Live
from rich.text import Text

from streamer.clock import Clock
from streamer.demo.drawing.glyphs import Glyphs, glyphs_for
from streamer.demo.drawing.picture import plain_line
from streamer.demo.drawing.screen import Screen
from streamer.demo.tally import Timeline
from streamer.demo.verdict import DemoVerdict

FRAME_S = 0.25
_LINE_S = 1.0

# Variables that show that no person sees a browser: services for builds and tests set them, and remote
# shells.
_NO_PERSON = ("CI", "TF_BUILD", "JENKINS_URL", "TEAMCITY_VERSION", "SSH_CONNECTION", "SSH_CLIENT", "SSH_TTY")
_UNSET = ("", "0", "false")
_DISPLAYS = ("DISPLAY", "WAYLAND_DISPLAY")
_ALWAYS_DISPLAYED = ("darwin", "win32")


def _glyphs() -> Glyphs:
    return glyphs_for(sys.stdout.encoding, os.environ)


@dataclass(slots=True, kw_only=True)
class DemoOutput:
    """Standard output of the demo.

    When the reader of a pipe, such as `head`, has ended, the output `is_gone`, and
    sets `stopping`.
    """

    stopping: asyncio.Event
    console: Console = field(default_factory=lambda: Console(highlight=False))
    glyphs: Glyphs = field(default_factory=_glyphs)
    is_gone: bool = False

    @property
    def is_terminal(self) -> bool:
        """True for a terminal that can draw; with FORCE_COLOR, rich takes a pipe for a terminal."""
        return sys.stdout.isatty() and not self.console.is_dumb_terminal

    def say(self, text: str | Text, end: str = "\n") -> None:
        """Print a line, or a part of a line."""
        try:
            self.console.print(Text(text) if isinstance(text, str) else text, end=end, soft_wrap=True)
        except SystemExit:
            # Rich raises SystemExit when the reader of the pipe has ended.
            self.is_gone = True
            self.stopping.set()

    async def show(self, screen: Screen, timeline: Timeline, clock: Clock) -> None:
        """Show the demo until cancelled."""
        if self.is_terminal:
            await self._draw(screen, clock)
        else:
            await self._print_lines(screen, timeline, clock)

    def keep(self, screen: Screen) -> None:
        """Print the last picture, which stays on the terminal."""
        if self.is_terminal:
            for line in screen.last(*self.console.size):
                self.say(line)
            self.say("")

    def judge(self, verdict: DemoVerdict) -> None:
        """Print the verdict, wrapped to the width of a terminal."""
        mark = self.glyphs.good if verdict.is_good else self.glyphs.bad
        first, *rest = self._wrapped(f"{mark} {verdict.headline}")
        headline = Text(first)
        if self.is_terminal:
            headline.stylize("bold green" if verdict.is_good else "bold red", 0, len(mark))
        self.say(headline)
        for line in rest:
            self.say(line)
        for detail in verdict.details:
            for line in self._wrapped(f"  {detail}"):
                self.say(line)

    def _wrapped(self, text: str) -> list[str]:
        if not self.is_terminal:
            return [text]
        return textwrap.wrap(text, self.console.width, subsequent_indent="  ", break_on_hyphens=False)

    async def _draw(self, screen: Screen, clock: Clock) -> None:
        # The alternate screen keeps no old frame after a change of size, and restores the
        # shell's lines.
        with Live(screen, console=self.console, auto_refresh=False, screen=True) as live:
            while True:
                screen.tick()
                live.refresh()
                await clock.sleep(FRAME_S)

    async def _print_lines(self, screen: Screen, timeline: Timeline, clock: Clock) -> None:
        printed, due = 0, clock.monotonic()
        while True:
            screen.tick()
            for line in timeline.since(printed):
                self.say(line)
            printed = timeline.total
            if clock.monotonic() >= due:
                due = max(due + _LINE_S, clock.monotonic())
                self.say(plain_line(screen.picture))
            await clock.sleep(FRAME_S)


def has_desktop(environ: Mapping[str, str], *, is_terminal: bool, platform: str = sys.platform) -> bool:
    """Return true if a person at this machine can see a browser."""
    if not is_terminal or any(environ.get(name, "") not in _UNSET for name in _NO_PERSON):
        return False
    return platform in _ALWAYS_DISPLAYED or any(environ.get(name) for name in _DISPLAYS)


def open_browser(url: str) -> "subprocess.Popen[bytes]":
    """Open `url` in the preferred browser, and return the process that does so.

    The process has no terminal. So messages of a browser do not disturb the picture,
    and a browser for terminals does not take over the terminal.
    """
    return subprocess.Popen(  # noqa: S603 - our own program and our own address
        [sys.executable, "-m", "webbrowser", url],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
