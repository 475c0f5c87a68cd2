"""Fixtures of the REST API's tests."""

from collections.abc import AsyncIterator

import pytest

from streamer.sandbox.access.user import User
from streamer.sandbox.rest.bulk import BulkLimits
from streamer.sandbox.rest.replication import ReplicationLimits
from tests.unit.sandbox.rest.world import RestWorld


@pytest.fixture
async def rest() -> AsyncIterator[RestWorld]:
    """An empty org whose jobs wait 5 s and run for 60 s, three of them a day, with two rows in an answer."""
    bulk = BulkLimits(queued_s=5.0, running_s=60.0, page_rows=2)
    reader = User(username="reader@acme.example", hidden_fields=frozenset({"Account.Phone"}))
    world = RestWorld(bulk, ReplicationLimits(ids=2, uncovered_s=3600.0), reader)
    world.org.usage.bulk_query_jobs.most = 3
    yield world
    await world.tasks.close()
