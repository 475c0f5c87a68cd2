"""Fenced blocks of the pages that people read, and the commands in them."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[3]
PAGES = sorted(
    [*(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")), *ROOT.glob("docs/**/*.md")]
)
_BLOCK = re.compile(r"^( *)```(\w*)\n(.*?)^\1```", flags=re.DOTALL | re.MULTILINE)
_PLACEHOLDER = re.compile(r"<[a-z][a-z ]*>")
_PROMPT = "$ "
_SEPARATORS = frozenset({"&&", "||", ";", "|"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """One fenced block, without its indentation; `language` is empty for output and pictures."""

    page: str
    line: int
    language: str
    text: str
    before: str
    """The paragraph before it."""

    def __str__(self) -> str:
        """Return its place."""
        return f"{self.page}:{self.line}"

    @property
    def commands(self) -> list[str]:
        """Return the commands after prompts, joined where a backslash or an open quote ends a line."""
        found: list[str] = []
        for line in self.text.splitlines():
            if line.lstrip().startswith(_PROMPT):
                found.append(line.strip()[len(_PROMPT) :])
            elif found and _goes_on(found[-1]):
                found[-1] = f"{found[-1].removesuffix(chr(92))}\n{line}"
        return found


def _goes_on(command: str) -> bool:
    try:
        shlex.split(command, comments=True)
    except ValueError:
        return True
    return command.endswith("\\")


def blocks_of(path: Path) -> Iterator[Block]:
    """Yield the blocks of a page, in their order."""
    text = path.read_text(encoding="utf-8")
    for found in _BLOCK.finditer(text):
        indent, language, body = found.groups()
        yield Block(
            page=str(path.relative_to(ROOT)),
            line=text.count("\n", 0, found.start()) + 1,
            language=language,
            text="".join(line.removeprefix(indent) for line in body.splitlines(keepends=True)),
            before=text[: found.start()].rstrip().rpartition("\n\n")[2],
        )


def blocks(*languages: str) -> list[Block]:
    """Return the blocks of all pages in these languages, or all of them."""
    every = [block for path in PAGES for block in blocks_of(path)]
    return [block for block in every if not languages or block.language in languages]


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One simple command: what stands between pipes and `&&`, without redirections."""

    block: Block
    words: tuple[str, ...]

    def __str__(self) -> str:
        """Return its place and its words."""
        return f"{self.block}: {' '.join(self.words)}"

    @property
    def program(self) -> str:
        """The program that it calls; in a container, the one inside."""
        return self.inner[0]

    @property
    def inner(self) -> tuple[str, ...]:
        """The words behind `--`, if there are any and a program is called through another one."""
        if self.words[0] in {"kubectl", "docker"} and "--" in self.words:
            return self.words[self.words.index("--") + 1 :]
        return self.words


def commands() -> list[Command]:
    """Return every command of every page."""
    return [
        Command(block=block, words=words)
        for block in blocks("console", "sh", "bash", "")
        for line in block.commands
        for words in _simple(line)
    ]


def _simple(line: str) -> Iterator[tuple[str, ...]]:
    lexer = shlex.shlex(_PLACEHOLDER.sub("PLACEHOLDER", line), posix=True, punctuation_chars="|&;<>")
    lexer.whitespace_split = True
    words: list[str] = []
    skipped = False
    for word in lexer:
        if word in _SEPARATORS:
            yield tuple(words)
            words = []
        elif set(word) <= set("<>&"):
            # The file of a redirection comes next, and before it perhaps the number of a stream.
            skipped = True
            words = words[:-1] if words and words[-1].isdigit() else words
        elif skipped:
            skipped = False
        else:
            words.append(word)
    if words:
        yield tuple(words)
