"""A snapshot of many records that change meanwhile: `make snapshot` reads a million, with a kill."""

from pathlib import Path

import pytest

from tests.acceptance.volume.trial import trial

pytestmark = pytest.mark.heavy

RECORDS = 20_000


async def test_replica_of_a_snapshot_equals_the_org(tmp_path: Path) -> None:
    """Read in bulk by a daemon, page by page, while records are changed, deleted, restored and created."""
    found = await trial(RECORDS, tmp_path, kills=False)

    assert found.differences == []
    assert (found.snapshot["state"], found.snapshot["found"]) == ("full", RECORDS)
    assert found.changes > 0
