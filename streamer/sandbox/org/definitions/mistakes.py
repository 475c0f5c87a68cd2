"""Mistakes in a declared schema, each with its place."""

from collections.abc import Sequence
from dataclasses import dataclass

Keys = tuple[str | int, ...]
"""Path of keys to a value, from the top of the schema."""


@dataclass(frozen=True, slots=True)
class Mistake:
    """One mistake: its place, and a sentence that names the fault and the remedy."""

    keys: Keys
    sentence: str

    def __str__(self) -> str:
        """Return the place and the sentence."""
        return f"{'.'.join(map(str, self.keys)) or 'the schema'}: {self.sentence}"


class DeclarationError(ValueError):
    """A declared schema has mistakes; the error has all of them, each with its place."""

    def __init__(self, mistakes: Sequence[Mistake]) -> None:
        super().__init__("\n".join(map(str, mistakes)))
        self.mistakes = tuple(mistakes)
