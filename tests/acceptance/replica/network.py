"""Connection of the daemon to the org: counts requests, and makes answers late, lost or refused."""

import asyncio
import re
import time
from collections import Counter, deque
from dataclasses import dataclass, field

import aiohttp
from aiohttp import ClientHandlerType, ClientRequest, ClientResponse

from streamer.clock import Clock
from streamer.sandbox import Sandbox
from tests.acceptance.replica.replica import TRACKED
from tests.idle_clock import ThreadCalls, other_threads_work, until_idle
from tests.streaming import APP

_WINDOW_S = 60.0
# A history's readings have pages of three rows: some dozens of rows at once, thrice in a bad minute.
_MOST_REQUESTS = 200
_MOST_ALIKE = 60
# A page costs three requests: the job's state, its rows, and these by their ids after a restart.
_REQUESTS_A_RECORD = 3
_RESERVE = 0.2
# Limits that were read some seconds ago are not read again.
_FRESH_S = 11.0
_ID = re.compile(r"\b[a-zA-Z0-9]{15}(?:[a-zA-Z0-9]{3})?\b")
_LIMIT = re.compile(r"LIMIT (\d+)")
_JOBS = "/jobs/query"
_MOST_REFUSALS = 10
# On a starved machine, a thread can need seconds.
_PATIENCE_S = 10.0
_IDLE = 2
_LOOPS = 100
# The clock goes on between any two requests.
_LATENCY_S = 0.05
_PAUSE_S = 0.0005


@dataclass(kw_only=True)
class Network:
    """Middleware of the daemon's HTTP session for everything but the stream.

    A query's answer takes `row_s` for each row that is asked for, and any other
    answer of the REST API `answer_s`. The next `lost_jobs` requests for results of
    a query job find that the job is gone, and the next `lost_locators` for further
    ones that their locator is gone. `lost_answers` requests take effect and get no
    answer. `number` counts the requests. Other clients last used query jobs at
    `jobs_used_at`. `most_requests` are not too many for a minute. `thread_calls` are
    the calls of the daemon and of the org.
    """

    sandbox: Sandbox
    clock: Clock
    thread_calls: ThreadCalls
    row_s: float = 0.0
    answer_s: float = 0.0
    lost_jobs: int = 0
    lost_locators: int = 0
    lost_answers: int = 0
    jobs_used_at: float = 0.0
    most_requests: int = _MOST_REQUESTS
    asked: Counter[str] = field(default_factory=Counter)
    complaints: dict[str, str] = field(default_factory=dict)
    _recent: deque[tuple[float, str]] = field(default_factory=deque)
    busiest: int = 0
    most_alike: int = 0
    number: int = 0
    _under_way: int = 0

    async def __call__(self, request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
        """Pass a request on, and its answer back."""
        self._count(request)
        await self._strike(request)
        response = await self._passed_on(request, handler)
        is_lost = self.lost_answers > 0 and "/services/data/" in request.url.path
        try:
            await self.clock.sleep(_LATENCY_S + self._delay(request))
        except asyncio.CancelledError:
            is_lost = True
            raise
        finally:
            if is_lost:
                response.close()
        if is_lost:
            self.lost_answers -= 1
            raise aiohttp.ServerDisconnectedError
        return response

    def calm(self) -> None:
        """End everything that strikes without an end; the org stays as slow as it is."""
        self.lost_jobs = self.lost_locators = self.lost_answers = 0
        self.sandbox.faults.heal()
        self.sandbox.org.usage.bulk_query_jobs.most = 10_000

    async def settled(self, *, by_threads: bool, pauses: int = _IDLE) -> None:
        """Wait until no answer is on its way any more.

        Threads of gRPC bring some `by_threads`: none had work in so many `pauses`.
        """
        idle, until = 0, time.monotonic() + _PATIENCE_S
        while idle < pauses and time.monotonic() < until:
            await until_idle(_LOOPS)
            if not (by_threads or self._is_under_way):
                return
            await asyncio.sleep(_PAUSE_S)
            idle = 0 if self._is_under_way or other_threads_work() else idle + 1

    @property
    def _is_under_way(self) -> bool:
        # A session over CometD begins with the lookup of its host on a thread. After that, its
        # bytes pass at once, because both ends are in this loop.
        return self._under_way > 0 or self.thread_calls.is_pending

    async def _passed_on(self, request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
        self.number += 1
        self._under_way += 1
        try:
            return await handler(request)
        finally:
            self._under_way -= 1

    def _count(self, request: ClientRequest) -> None:
        path = request.url.path
        kind = f"{request.method} {_ID.sub('ID', path)}"
        self.asked[kind] += 1
        if request.method == "POST" and path.endswith(_JOBS):
            self._check_jobs_left()
        now = self.clock.now()
        exact = f"{request.method} {request.url.path_qs}" if request.method == "GET" else kind
        self._recent.append((now, exact))
        while self._recent[0][0] < now - _WINDOW_S:
            self._recent.popleft()
        alike = sum(each == exact for _, each in self._recent) if request.method == "GET" else 0
        self.busiest = max(self.busiest, len(self._recent))
        self.most_alike = max(self.most_alike, alike)
        if len(self._recent) > self._most_requests or alike > _MOST_ALIKE:
            kinds = Counter(each for _, each in self._recent).most_common(3)
            self.complaints.setdefault("busy", f"{len(self._recent)} requests in {_WINDOW_S:.0f} s: {kinds}")

    @property
    def _most_requests(self) -> int:
        """Most requests of a minute, in which three readings can read all records."""
        org = self.sandbox.org
        records = sum(org.records.count(org.schema.entity(each)) for each in TRACKED)
        return max(self.most_requests, _REQUESTS_A_RECORD * records)

    def _check_jobs_left(self) -> None:
        jobs = self.sandbox.org.usage.bulk_query_jobs
        is_known = self.clock.now() > self.jobs_used_at + _FRESH_S + self.answer_s
        if is_known and jobs.remaining < _RESERVE * jobs.most:
            self.complaints.setdefault(
                "quota", f"a query job began with {jobs.remaining} of {jobs.most} of the day's jobs left"
            )

    async def _strike(self, request: ClientRequest) -> None:
        path = request.url.path
        if self.lost_jobs and path.endswith("/results"):
            self.lost_jobs -= 1
            await self._delete(str(request.url.origin()), path.removesuffix("/results"))
        elif self.lost_locators and request.url.query.get("locator"):
            self.lost_locators -= 1
            request.url = request.url.update_query(locator="bG9zdA")

    async def _delete(self, origin: str, path: str) -> None:
        """Delete a query job, as an administrator can, who repeats what the org refuses."""
        async with aiohttp.ClientSession(origin) as http:
            login = {
                "grant_type": "client_credentials",
                "client_id": APP.client_id,
                "client_secret": APP.client_secret.get_secret_value(),
            }
            async with http.post("/services/oauth2/token", data=login) as answer:
                token = (await answer.json())["access_token"]
            for _ in range(_MOST_REFUSALS + 1):
                async with http.delete(path, headers={"Authorization": f"Bearer {token}"}) as answer:
                    if answer.status in {204, 404}:
                        return
            raise AssertionError(f"{path} was not deleted")

    def _delay(self, request: ClientRequest) -> float:
        path = request.url.path
        if "/services/data/" not in path:
            return 0.0
        if path.endswith(("/query", "/queryAll")):
            limit = _LIMIT.search(request.url.query.get("q", ""))
            return self.row_s * int(limit[1]) if limit else self.answer_s
        return self.answer_s
