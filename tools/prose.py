"""Finds sentences that need a second reading: `python -m tools.prose [--forms] [PATH…]`.

The script reads docstrings, comments, messages and documentation, and lists every
sentence with a form that plain English avoids. `RIGHT` lists exceptions.
"""

import argparse
import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent

# Each form, with advice for a better form.
FORMS = {
    r"\b(?:is|are|was|were) (?:that|those) of\b": "name the thing again",
    r"\bof (?:which|whom)\b": "begin a second sentence, or use whose",
    r"\bin the place of\b": "instead of, in place of",
    r"\banew\b": "again, or a new one",
    r"(?<!here )\b(?:is|are|was|were) none\b": "is not a …, or does not exist",
    r"(?<!here )\b(?:is|are|was|were) no (?!longer|more|less|later|earlier|one|matter)[a-z]": "is not a …",
    r"\b(?:tell|tells|told|telling) of\b": "report, name, describe",
    r"\bwho(?:m)?ever\b": "name the actor",
    r"\bgo(?:es)? on (?:behind|with|at|by|from|after|there|as|where|anew)\b": "continue",
    r"\bread(?:ing)? on\b": "continue reading",
    r"\bnothing of (?:it|them|this|what)\b": "name the thing",
    r"\b(?:is|are|was|were) (?:judged|told) by\b": "use the active voice",
    r"\b[Ww]hat\b[^.?!|,]{0,60}\bwhat\b": "name one of the two things",
    r"^(?:What|Whether|Whom|Whose|How long|For how long)\b(?! (?:is|are|do|does|can|happens)\b[^.]*\?)": (
        "begin with a noun or a verb"
    ),
    r"\b(?:is|are) to (?:be|have)\b": "must, should, or will",
    r"\bforgone\b": "given up, released",
    r"\bas whom\b": "the user that",
    r"\b(?:need|needs) nobody\b": "needs no attention",
}

# Parts of sentences in which a form is right.
RIGHT = (
    "What to do next",
    "What the log does not keep",
    "data.fields.Note is none",
    "a text has no parts",
    "those of the header are no fields",
)

_DOCS = ("README.md", "CONTRIBUTING.md", "SECURITY.md", "docs/**/*.md")
_CODE = ("streamer/**/*.py", "subscribers/**/*.py", "tools/**/*.py", "tests/**/*.py")
_WORDS = 4
# A line of a longer string can look like a comment, which does no harm.
_COMMENT = re.compile(r"^(?P<before>|\s+|.*\S\s{2})(?P<comment>#\s.*)$")
_DIRECTIVE = re.compile(r"#\s*(?:noqa|type:|pragma|!)")


def findings(paths: list[Path]) -> Iterator[str]:
    """Yield `path:line: sentence (form: advice)` for each form in the prose of `paths`."""
    forms = [(re.compile(form), advice) for form, advice in FORMS.items()]
    any_form = re.compile("|".join(f"(?:{form})" for form in FORMS))
    for path in paths:
        for line, sentence in sentences(path):
            # Most sentences have no form, and one search shows this.
            if any_form.search(sentence) is None or any(each in sentence for each in RIGHT):
                continue
            for form, advice in forms:
                if found := form.search(sentence):
                    yield f"{path.relative_to(ROOT)}:{line}: {sentence} [{found[0]}: {advice}]"


def sources() -> list[Path]:
    """Return the files with prose, sorted."""
    found = {path for pattern in (*_DOCS, *_CODE) for path in ROOT.glob(pattern)}
    return sorted(
        path for path in found if path.name not in {"prose.py", "test_prose.py", "pubsub_api_pb2.py"}
    )


def sentences(path: Path) -> Iterator[tuple[int, str]]:
    """Yield each sentence of a file with the line at which its paragraph begins."""
    text = path.read_text()
    paragraphs = _documentation(text) if path.suffix == ".md" else _code(text)
    for line, paragraph in paragraphs:
        for sentence in re.split(r"(?<=[.?!:])\s+", " ".join(paragraph.split())):
            if len(sentence.split()) >= _WORDS:
                yield line, sentence


def _documentation(text: str) -> Iterator[tuple[int, str]]:
    """Yield paragraphs, list items and table cells outside of code blocks."""
    in_code, begin, paragraph = False, 1, ""
    for number, line in enumerate(text.splitlines(), 1):
        if line.lstrip().startswith("```"):
            in_code = not in_code
        is_item = bool(re.match(r"\s*(?:[-*]|\d+\.)\s", line))
        if in_code or not line.strip() or line.startswith(("#", "|")) or is_item:
            yield begin, paragraph
            begin, paragraph = number, ""
        if in_code or line.startswith("#") or line.lstrip().startswith("```"):
            continue
        if line.startswith("|"):
            yield from ((number, cell.strip()) for cell in line.split("|"))
        else:
            paragraph += "\n" + re.sub(r"^\s*(?:[-*#]+|\d+\.)\s", "", line)
    yield begin, paragraph


def _code(text: str) -> Iterator[tuple[int, str]]:
    """Yield docstrings, messages and comments."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield from ((node.lineno, each) for each in node.value.split("\n\n"))
        elif isinstance(node, ast.JoinedStr):
            parts = [each.value if isinstance(each, ast.Constant) else "X" for each in node.values]
            yield node.lineno, "".join(map(str, parts))
    begin, comment = 0, ""
    for number, line in enumerate(text.splitlines(), 1):
        found = _COMMENT.search(line)
        if found is None or found["before"].strip():
            yield begin, comment
            begin, comment = number, ""
        if found is not None and not _DIRECTIVE.match(found["comment"]):
            begin = begin if comment else number
            comment += " " + found["comment"].lstrip("# ")
    yield begin, comment


def main() -> int:
    """List the findings; exit with 1 if there are any."""
    parser = argparse.ArgumentParser(prog="python -m tools.prose", description=__doc__)
    parser.add_argument("paths", nargs="*", type=Path, help="files or folders; everything by default")
    chosen = [path.resolve() for path in parser.parse_args().paths]
    paths = [each for each in sources() if not chosen or any(each.is_relative_to(path) for path in chosen)]
    found = list(dict.fromkeys(findings(paths)))
    print(*found, sep="\n")
    print(f"{len(found)} sentences of {len(paths)} files need a second reading", file=sys.stderr)
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
