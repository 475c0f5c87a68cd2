"""Mistakes that `make mutants` makes on purpose: the code that they change is still there."""

from pathlib import Path

import pytest

from tests.acceptance.fire.mutations import MUTATIONS, Mutation

_ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_mutation_changes_the_code_of_today(mutation: Mutation, tmp_path: Path) -> None:
    """Whoever changes that code adapts the mutation, and does not hear of it only from the long bench."""
    copy = tmp_path / mutation.file
    copy.parent.mkdir(parents=True)
    copy.write_bytes((_ROOT / mutation.file).read_bytes())
    mutation.apply(tmp_path)

    compile(copy.read_bytes(), mutation.file, "exec")
