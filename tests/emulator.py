"""Terminal of a program: a pseudo-terminal, and an emulator that shows what a person sees."""

import asyncio
import fcntl
import os
import pty
import signal
import struct
import termios
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any

import pyte

from tests.waiting import awaited, until

_ALTERNATE = 1049
# These would tell the program about another terminal, or about a person.
_UNSET = {
    *("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR", "LC_ALL", "LC_CTYPE"),
    *("DISPLAY", "WAYLAND_DISPLAY", "BROWSER", "CI", "SSH_CONNECTION", "SSH_CLIENT", "SSH_TTY"),
}


class AlternatingScreen(pyte.Screen):
    """Screen with the alternate screen of an xterm, which pyte does not know."""

    is_alternate = False
    _kept: tuple[dict[int, dict[int, Any]], int] = ({}, 0)

    def set_mode(self, *modes: int, **more: Any) -> None:
        """Keep the lines before the alternate screen appears."""
        super().set_mode(*modes, **more)
        if _ALTERNATE in modes and not self.is_alternate:
            self.is_alternate = True
            self._kept = ({number: dict(line) for number, line in self.buffer.items()}, self.cursor.y)
            self.erase_in_display(2)

    def reset_mode(self, *modes: int, **more: Any) -> None:
        """Show the kept lines again."""
        super().reset_mode(*modes, **more)
        if _ALTERNATE in modes and self.is_alternate:
            self.is_alternate = False
            self.erase_in_display(2)
            lines, at = self._kept
            for number, line in lines.items():
                self.buffer[number].update(line)
            self.cursor_position(at + 1, 1)


class EmulatedTerminal:
    """Terminal in which a program runs. `frames` holds the text of each change that was read."""

    def __init__(self, rows: int, columns: int) -> None:
        self.screen = AlternatingScreen(columns, rows)
        self.frames: list[str] = []
        self._stream = pyte.ByteStream(self.screen)
        self._window, self.program_end = pty.openpty()
        self.process: asyncio.subprocess.Process
        self._resize(rows, columns)

    @property
    def lines(self) -> list[str]:
        """Lines that the terminal shows, without blanks at their ends."""
        return [line.rstrip() for line in self.screen.display]

    @property
    def text(self) -> str:
        """Lines that the terminal shows, as one text."""
        return "\n".join(self.lines)

    @property
    def colours(self) -> set[str]:
        """All colours on the terminal."""
        return {cell.fg for line in self.screen.buffer.values() for cell in line.values()}

    def colour_of(self, words: str) -> str:
        """Return the colour of the first character of `words`, or an empty text without these words."""
        for number, line in enumerate(self.screen.display):
            if (column := line.find(words)) >= 0:
                return str(self.screen.buffer[number][column].fg)
        return ""

    async def shows(self, holds: Callable[[], Any]) -> Any:
        """Wait until `holds` is true of what the terminal shows."""
        return await until(holds, progress=lambda: len(self.frames))

    def resize(self, rows: int, columns: int) -> None:
        """Change the size of the window, as a person does with the mouse."""
        self.screen.resize(rows, columns)
        self._resize(rows, columns)

    def interrupt(self) -> None:
        """Press Ctrl-C."""
        self.process.send_signal(signal.SIGINT)

    async def ended(self) -> int:
        """Return the exit status, once the program has ended and its last output has been read."""
        status = await awaited(self.process.wait())
        while self._read():
            pass
        return status

    def _resize(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self._window, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def _read(self) -> bool:
        with suppress(OSError):
            if output := os.read(self._window, 65_536):
                self._stream.feed(output)
                self.frames.append(self.text)
                return True
        return False

    @asynccontextmanager
    async def running(self, *command: str, environ: Mapping[str, str]) -> AsyncIterator["EmulatedTerminal"]:
        """Run the command inside the context."""
        inherited = {name: value for name, value in os.environ.items() if name not in _UNSET}
        self.process = await asyncio.create_subprocess_exec(
            *command,
            stdin=self.program_end,
            stdout=self.program_end,
            stderr=self.program_end,
            env={**inherited, "TERM": "xterm-256color", "LANG": "C.UTF-8", **environ},
        )
        os.close(self.program_end)
        os.set_blocking(self._window, False)
        loop = asyncio.get_running_loop()
        loop.add_reader(self._window, self._read)
        try:
            yield self
        finally:
            if self.process.returncode is None:
                self.process.kill()
                await self.process.wait()
            loop.remove_reader(self._window)
            os.close(self._window)
