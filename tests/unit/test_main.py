"""The entry point of the command."""

import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from streamer.__main__ import main
from tests.waiting import LIMIT_S


class Interrupted(ModuleType):
    """Module during whose import somebody presses Ctrl-C."""

    def __getattr__(self, name: str) -> Any:
        """Interrupt."""
        raise KeyboardInterrupt


def test_interrupt_of_the_imports_ends_without_a_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a shell expects it of a program that Ctrl-C has ended."""
    monkeypatch.setitem(sys.modules, "streamer.cli", Interrupted("streamer.cli"))
    with pytest.raises(SystemExit) as ended:
        main()

    assert ended.value.code == 130


def test_full_disk_under_the_output_is_one_sentence() -> None:
    """And exit status 1."""
    with Path("/dev/full").open("w") as full:
        ran = subprocess.run(
            [sys.executable, "-m", "streamer", "--version"],
            check=False, stdout=full, stderr=subprocess.PIPE, text=True, timeout=LIMIT_S,
        )  # fmt: skip

    assert (ran.returncode, ran.stderr) == (
        1,
        "streamer: the output can't be written: No space left on device\n",
    )
