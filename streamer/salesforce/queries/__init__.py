"""Reading of many records, over REST or the Bulk API 2.0, and search for changed records."""

from streamer.salesforce.queries.client import RestQueries
from streamer.salesforce.queries.replication import RestReplication

__all__ = ["RestQueries", "RestReplication"]
