"""Processes of `streamer …` that start at once.

The tests start hundreds of them, and importing takes each nearly a second of a
processor. So they are forked from a process that has imported the commands and
done nothing else, and run the same `main` as the installed program, which other
tests start: those of the container, the demo, the sandbox and the packages.
"""

from tests.commands.process import AnyProcess, start

__all__ = ["AnyProcess", "start"]
