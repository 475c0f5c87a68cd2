"""Processes of `streamer …` that start at once.

The tests start hundreds of such processes, and the imports take each process nearly
a second of CPU. So the tests fork them from a process that has imported the commands
and done nothing else. The forked processes run the same `main` as the installed
program. Other tests start the installed program: the tests of the container, the
demo, the sandbox and the packages.
"""

from tests.commands.process import AnyProcess, start

__all__ = ["AnyProcess", "start"]
