"""The REST API, assembled from its resources."""

from dataclasses import dataclass

from aiohttp import web

from streamer.clock import Clock
from streamer.sandbox.access.users import Users
from streamer.sandbox.auth.tokens import TokenIssuer
from streamer.sandbox.cometd import CometdServer
from streamer.sandbox.faults.armed import ArmedFaults
from streamer.sandbox.org.org import SandboxOrg
from streamer.sandbox.rest.bulk import BulkLimits
from streamer.sandbox.rest.bulk.first_version import first_version_routes
from streamer.sandbox.rest.bulk.ingest_jobs import IngestJobs
from streamer.sandbox.rest.bulk.ingest_resources import RestIngestJobs
from streamer.sandbox.rest.bulk.jobs import QueryJobs, Spawn
from streamer.sandbox.rest.bulk.resources import RestQueryJobs
from streamer.sandbox.rest.composite.calls import RestComposite
from streamer.sandbox.rest.composite.collections import add_collections
from streamer.sandbox.rest.composite.tree import add_tree
from streamer.sandbox.rest.event_schemas import add_event_schemas
from streamer.sandbox.rest.http_server import RestServer
from streamer.sandbox.rest.metadata import RestMetadata
from streamer.sandbox.rest.query.recent import RecentlyViewed
from streamer.sandbox.rest.query.resources import QueryResources
from streamer.sandbox.rest.records import add_records
from streamer.sandbox.rest.replication import ReplicationLimits, ReplicationResources
from streamer.sandbox.rest.resources import Resources
from streamer.sandbox.rest.streaming_channels import RestStreamingChannels
from streamer.sandbox.rest.tooling.resources import RestTooling


@dataclass(frozen=True, slots=True, kw_only=True)
class RestParts:
    """Parts of the sandbox that the REST API serves; `spawn` runs its query jobs."""

    org: SandboxOrg
    users: Users
    tokens: TokenIssuer
    cometd: CometdServer
    clock: Clock
    streaming: RestStreamingChannels
    faults: ArmedFaults
    spawn: Spawn
    bulk: BulkLimits
    replication: ReplicationLimits


def rest_routes(parts: RestParts) -> list[web.RouteDef]:
    """Return the routes of the whole REST API."""
    org = parts.org
    resources = Resources()
    metadata = RestMetadata(org, parts.cometd)
    metadata.add_to(resources)
    add_event_schemas(resources)
    ReplicationResources(parts.clock, parts.replication).add_to(resources)
    RestComposite(resources).add()
    add_tree(resources)
    add_collections(resources)
    parts.streaming.add_to(resources)
    add_records(resources)
    recent = RecentlyViewed()
    recent.add_to(resources)
    QueryResources(parts.clock, recent=recent).add_to(resources)
    RestTooling(org, parts.clock).add_to(resources)
    RestQueryJobs(QueryJobs(parts.clock, org, parts.faults, parts.bulk, parts.spawn)).add_to(resources)
    RestIngestJobs(IngestJobs(parts.clock, org, parts.bulk, parts.spawn)).add_to(resources)
    server = RestServer(org, parts.users, parts.tokens, resources, parts.faults)
    return [*metadata.routes(), *first_version_routes(), *server.routes()]
