"""An org with its REST resources that read in volume, called without HTTP."""

from typing import Any
from urllib.parse import parse_qsl, urlsplit

import orjson

from streamer.sandbox.access.user import User
from streamer.sandbox.access.users import Users
from streamer.sandbox.auth.tokens import TokenSession
from streamer.sandbox.background import BackgroundTasks
from streamer.sandbox.faults.catalogue import Faults
from streamer.sandbox.rest.bulk import BulkLimits
from streamer.sandbox.rest.bulk.jobs import QueryJobs
from streamer.sandbox.rest.bulk.resources import RestQueryJobs
from streamer.sandbox.rest.call import RestCall, SandboxResponse
from streamer.sandbox.rest.composite.collections import add_collections
from streamer.sandbox.rest.replication import ReplicationLimits, ReplicationResources
from streamer.sandbox.rest.resources import Resources
from tests.unit.sandbox.org.world import OrgWorld


class RestWorld(OrgWorld):
    """The org of one user, beside whom others can be added."""

    def __init__(
        self, bulk: BulkLimits | None = None, replication: ReplicationLimits | None = None, *users: User
    ) -> None:
        """Start an empty org with these limits."""
        super().__init__()
        self.users = Users(self.org, users)
        self.faults = Faults(self.bus)
        self.tasks = BackgroundTasks()
        self.jobs = QueryJobs(self.clock, self.org, self.faults.armed, bulk or BulkLimits(), self.tasks.spawn)
        self.resources = Resources()
        RestQueryJobs(self.jobs).add_to(self.resources)
        ReplicationResources(self.clock, replication or ReplicationLimits()).add_to(self.resources)
        add_collections(self.resources)

    def call(
        self, method: str, path: str, body: Any = None, *, version: str = "66.0", user: str | None = None
    ) -> SandboxResponse:
        """Return the answer to a call; `path` is what follows the version, or the whole of it."""
        url = urlsplit(path.partition(f"/v{version}/")[2] or path)
        user_id = self.users.id_of(user) if user else self.org.settings.user_id
        assert user_id is not None
        session = TokenSession(user_id=user_id, client_id="test", scope="api", issued_at=0, used_at=0)
        call = RestCall(
            method=method,
            version=version,
            path=f"/{url.path}",
            query=dict(parse_qsl(url.query)),
            headers={},
            body=b"" if body is None else orjson.dumps(body),
            session=session,
            org=self.org,
            schema=self.users.schema(user_id),
            faults=self.faults.armed,
        )
        return self.resources.answer(call)

    def job(self, query: str, **more: Any) -> str:
        """Create a query job and return its id."""
        answer = self.call("POST", "jobs/query", {"operation": "query", "query": query, **more})
        assert answer.status == 200, answer.body
        return str(answer.body["id"])

    def state(self, job_id: str) -> str:
        """Return the state of a job."""
        return str(self.call("GET", f"jobs/query/{job_id}").body["state"])

    def csv(self, job_id: str, query: str = "") -> str:
        """Return a page of a job's results."""
        answer = self.call("GET", f"jobs/query/{job_id}/results?{query}")
        assert answer.chunks is not None, answer.body
        return b"".join(answer.chunks).decode()


def code(answer: SandboxResponse) -> tuple[int, str]:
    """Return the status and the error code of a refusal."""
    return answer.status, answer.body[0]["errorCode"]
