"""Reading of an org's records in volume, over REST and the Bulk API 2.0, and of those that have changed."""

from streamer.salesforce.queries.client import RestQueries
from streamer.salesforce.queries.memory import MemoryQueries
from streamer.salesforce.queries.replication import RestReplication

__all__ = ["MemoryQueries", "RestQueries", "RestReplication"]
