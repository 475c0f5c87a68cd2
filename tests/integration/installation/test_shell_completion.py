"""The files by which the shells complete commands for every user of a machine."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.waiting import LIMIT_S
from tools.packaging.completions import FILES, FOLDER, scripts

BASH = """
source "$1"
complete -p streamer >&2
COMP_WORDS=(streamer dead) COMP_CWORD=1
_streamer_completion streamer
printf '%s\\n' "${COMPREPLY[@]}"
"""
# At the first Tab, zsh loads the file as a function and calls that.
ZSH = """
compdef() { print -u2 -- "$@" }
_arguments() { print -r -- "$@" }
fpath=(${1:h} $fpath)
autoload -Uz _streamer
words=(streamer dead) CURRENT=2
_streamer
"""
FISH = """
source $argv[1]
complete --do-complete 'streamer dead'
"""
COMMANDS = {
    "bash": ["bash", "--norc", "-c", BASH, "bash"],
    "zsh": ["zsh", "-f", "-c", ZSH, "zsh"],
    "fish": ["fish", "--no-config", "-c", FISH],
}


def test_files_are_up_to_date() -> None:
    """`make reference` writes them again."""
    assert {each.name: each.read_text(encoding="utf-8") for each in FOLDER.iterdir()} == scripts()


@pytest.mark.parametrize("shell", FILES)
def test_first_tab_completes_a_command(shell: str) -> None:
    """The shell itself reads the file, and gets the command that begins with the typed letters."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    ran = subprocess.run(
        [*COMMANDS[shell], FOLDER / FILES[shell]],
        env={**os.environ, "PATH": path},
        check=True,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
    )

    assert "deadletters" in ran.stdout
    assert "subscribers" not in ran.stdout


@pytest.mark.parametrize("shell", FILES)
def test_shell_finds_no_mistake(shell: str) -> None:
    """It reads the file without running it."""
    ran = subprocess.run([shell, "-n", FOLDER / FILES[shell]], check=False, capture_output=True, timeout=60)

    assert (ran.returncode, ran.stderr) == (0, b"")
