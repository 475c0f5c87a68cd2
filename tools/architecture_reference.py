"""Writes the generated parts of the architecture page: `python -m tools.architecture_reference`.

The tree in `docs/architecture.md` comes from the docstrings of packages and
top-level modules. The picture of the layers comes from import-linter's contracts.
"""

import ast
from collections.abc import Iterator
from configparser import ConfigParser
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "architecture.md"

_BEGIN = "<!-- {}: written by make reference -->\n"
_END = "\n<!-- end of {} -->"


def page() -> str:
    """Return the page, with new text between the markers."""
    text = PAGE.read_text(encoding="utf-8")
    for name, made in (("tree", tree()), ("layers", layers())):
        before, begin, rest = text.partition(_BEGIN.format(name))
        _, end, after = rest.partition(_END.format(name))
        if not end:
            raise LookupError(f"{PAGE} lacks the markers of {name!r}.")
        text = f"{before}{begin}```\n{made}\n```{end}{after}"
    return text


def tree() -> str:
    """Return the packages and top-level modules of `streamer` as a tree, each with its docstring."""
    package = ROOT / "streamer"
    modules = [each for each in sorted(package.glob("*.py")) if each.name != "__init__.py"]
    rows = [*_packages(package, 0), *(("  " + each.name, summary(each)) for each in modules)]
    width = max(len(name) for name, _ in rows) + 2
    return "\n".join(f"{name:{width}}{text}" for name, text in rows)


def summary(module: Path) -> str:
    """Return the first line of the docstring of `module`, without its full stop."""
    found = ast.get_docstring(ast.parse(module.read_text(encoding="utf-8"))) or ""
    return found.partition("\n")[0].removesuffix(".")


def layers() -> str:
    """Return the layers of the whole package in a box, from import-linter's contract."""
    contracts = ConfigParser()
    contracts.read(ROOT / ".importlinter", encoding="utf-8")
    proved = contracts["importlinter:contract:streamer"]["layers"].split("\n")
    rows = [each.replace("|", "·") for each in proved if each]
    width = max(len(each) for each in rows)
    edge = "─" * (width + 2)
    return "\n".join([f"┌{edge}┐", *(f"│ {each:{width}} │" for each in rows), f"└{edge}┘"])


def main() -> None:
    """Write the page."""
    PAGE.write_text(page(), encoding="utf-8")


def _packages(package: Path, depth: int) -> Iterator[tuple[str, str]]:
    yield "  " * depth + package.name + "/", summary(package / "__init__.py")
    for inner in sorted(package.glob("*/__init__.py")):
        yield from _packages(inner.parent, depth + 1)


if __name__ == "__main__":
    main()
