"""Counts in the source: files, lines, functions, dataclasses and names."""

import ast
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median

MANY_FIELDS = 9
_FUNCTIONS = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, slots=True, kw_only=True)
class Module:
    """One source file, with its path relative to the root."""

    path: str
    text: str

    @property
    def lines(self) -> int:
        """Number of lines."""
        return len(self.text.splitlines())

    def nodes(self) -> Iterator[ast.AST]:
        """Yield all nodes of the file's syntax tree."""
        return ast.walk(ast.parse(self.text))


def modules(root: Path, *packages: str) -> list[Module]:
    """Return the hand-written modules of `packages`, with paths relative to `root`."""
    return [
        Module(path=path.relative_to(root).as_posix(), text=path.read_text(encoding="utf-8"))
        for package in packages
        for path in sorted((root / package).rglob("*.py"))
        if not path.stem.endswith("_pb2")
    ]


def function_lengths(found: Iterable[Module]) -> dict[str, int]:
    """Return the number of lines of each function, without decorators, by its path and name."""
    return {
        f"{module.path}:{node.lineno} {node.name}": (node.end_lineno or node.lineno) - node.lineno + 1
        for module in found
        for node in module.nodes()
        if isinstance(node, _FUNCTIONS)
    }


def median_length(lengths: Mapping[str, int]) -> float:
    """Return the median of the functions' lengths."""
    return median(lengths.values())


def longest(counts: Mapping[str, int]) -> tuple[str, int]:
    """Return the name with the greatest count, and the count."""
    return max(counts.items(), key=lambda each: each[1])


def files_of_folders(found: Iterable[Module]) -> Counter[str]:
    """Return the number of modules in each folder."""
    return Counter(module.path.rpartition("/")[0] for module in found)


def names_used_twice(found: Iterable[Module]) -> list[str]:
    """Return the names that several public classes share."""
    names = Counter(
        node.name
        for module in found
        for node in module.nodes()
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    )
    return sorted(name for name, count in names.items() if count > 1)


def wide_dataclasses(found: Iterable[Module]) -> list[str]:
    """Return the dataclasses that have nine or more fields and are not plain values.

    A plain value is frozen and does nothing: it has no method besides
    properties, class methods and static methods.
    """
    return [
        f"{module.path}:{node.lineno} {node.name}"
        for module in found
        for node in module.nodes()
        if isinstance(node, ast.ClassDef)
        and (decorator := _dataclass(node)) is not None
        and _fields(node) >= MANY_FIELDS
        and not _is_plain(node, decorator)
    ]


def _dataclass(node: ast.ClassDef) -> ast.expr | None:
    for each in node.decorator_list:
        called = each.func if isinstance(each, ast.Call) else each
        if ast.unparse(called).rpartition(".")[2] == "dataclass":
            return each
    return None


def _fields(node: ast.ClassDef) -> int:
    return sum(
        isinstance(each, ast.AnnAssign) and "ClassVar" not in ast.unparse(each.annotation)
        for each in node.body
    )


def _is_plain(node: ast.ClassDef, decorator: ast.expr) -> bool:
    is_frozen = isinstance(decorator, ast.Call) and any(
        each.arg == "frozen" and ast.unparse(each.value) == "True" for each in decorator.keywords
    )
    return is_frozen and not any(isinstance(each, _FUNCTIONS) and not _only_reads(each) for each in node.body)


def _only_reads(method: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    kinds = {ast.unparse(each) for each in method.decorator_list}
    return bool(kinds & {"property", "classmethod", "staticmethod", "cached_property"})
