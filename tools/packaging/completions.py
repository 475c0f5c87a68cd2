"""Writes the files by which shells complete commands: `python -m tools.packaging.completions`.

`streamer --install-completion` writes the same files into a user's folder. An
installation puts them into the folders in which the shells look for every user.
"""

from collections.abc import Mapping
from pathlib import Path

from typer.completion import get_completion_script  # type: ignore[attr-defined] # public, but not marked so

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "packaging" / "completions"
FILES = {"bash": "streamer.bash", "zsh": "_streamer", "fish": "streamer.fish"}
"""Name of each shell's file."""

# zsh runs this file as the function `_streamer` at the first Tab. Typer's script would only
# define a function then, and complete nothing before the second Tab.
_FIRST_TAB = """
if [[ $funcstack[1] == _streamer ]]; then
  _streamer_completion "$@"
fi
"""


def scripts() -> Mapping[str, str]:
    """Return the text of each file, by its name."""
    made = {
        name: get_completion_script(prog_name="streamer", complete_var="_STREAMER_COMPLETE", shell=shell)
        for shell, name in FILES.items()
    }
    return {name: text + "\n" + (_FIRST_TAB if name == FILES["zsh"] else "") for name, text in made.items()}


def main() -> None:
    """Write the files."""
    for name, text in scripts().items():
        (FOLDER / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
