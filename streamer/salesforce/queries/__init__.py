"""Reading of many records, over REST and the Bulk API 2.0, and of the records that have changed."""

from streamer.salesforce.queries.client import RestQueries
from streamer.salesforce.queries.memory import MemoryQueries
from streamer.salesforce.queries.replication import RestReplication

__all__ = ["MemoryQueries", "RestQueries", "RestReplication"]
