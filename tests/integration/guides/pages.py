"""The pages that people read, and the blocks of code in them."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[3]
PAGES = sorted(
    [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *ROOT.glob("docs/**/*.md")]
)


def page(name: str) -> str:
    """Return the text of the page `name`, a path from the root of the project."""
    return (ROOT / name).read_text()


def block(text: str, language: str) -> str:
    """Return the one block in `language` of `text`, without its indentation."""
    (found,) = re.findall(rf"^( *)```{language}\n(.*?)^\1```", text, flags=re.DOTALL | re.MULTILINE)
    indent, lines = found
    return "".join(line.removeprefix(indent) for line in lines.splitlines(keepends=True))
