"""Resource of the problems: reads the log and this process's state, and groups what needs a person."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace

from aiohttp import web

from streamer.admin.context import AdminContext
from streamer.admin.json_views import optional_time
from streamer.admin.middleware import json_response
from streamer.admin.problems.findings import (
    hole_problems,
    is_in_work,
    letter_problem,
    parked_problems,
    position_problems,
    process_problems,
    subscriber_problem,
)
from streamer.admin.problems.groups import (
    MOST_GROUPS,
    OpenProblem,
    ProblemGroups,
    ProblemKind,
    grouped,
    in_order,
)
from streamer.admin.problems.remedies import can_be_redriven, command_of, remedy_of
from streamer.admin.processes.state import MOST_PARKED, MOST_PROBLEMS, ReportedProblem
from streamer.admin.schemas import MOST_LETTERS
from streamer.controls import LONGEST_ERROR, ContinuityFilter, ControlState
from streamer.errors import LogUnavailable
from streamer.events import JsonObject

_COMPARED_AT_ONCE = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ProblemResource:
    """`/problems`."""

    context: AdminContext

    def routes(self) -> list[web.RouteDef]:
        """Return the routes of this resource."""
        return [web.get("/problems", self._list)]

    async def problems(
        self, in_log: Callable[[], Awaitable[Sequence[OpenProblem]]] | None = None
    ) -> JsonObject:
        """Return the groups of problems, the newest first.

        The argument `in_log` returns groups that the method `in_log` found a moment
        ago. Without this argument, the log is read now. A log that can't be read is a
        problem of its own.
        """
        found, here = list[OpenProblem](), list[OpenProblem]()
        await self.context.reports.refresh()
        try:
            found += await (in_log or self.in_log)()
            here += self._of_subscribers(await self.context.control_state())
        except LogUnavailable as error:
            found.append(OpenProblem(kind=ProblemKind.PROCESS_WAITS, error=str(error)))
        here += process_problems(self.context.views.condition())
        found += grouped([*here, *self._elsewhere()])
        return {
            "problems": [self.as_json(each) for each in in_order(found)[:MOST_GROUPS]],
            "missing": [*self.context.reports.missing],
        }

    def reported(self, board: ControlState) -> list[ReportedProblem]:
        """Return the groups of problems of this process alone, for the other processes."""
        condition = self.context.views.condition()
        found = grouped([*self._of_subscribers(board, MOST_PARKED), *process_problems(condition)])
        # A pause is in the log, where every process finds it.
        lasting = [each for each in found if each.kind not in {ProblemKind.PAUSED, ProblemKind.DISABLED}]
        reported = ReportedProblem.model_validate
        return [reported(each, from_attributes=True) for each in lasting[:MOST_PROBLEMS]]

    def _elsewhere(self) -> Iterator[OpenProblem]:
        """Yield the problems that other processes report; a process that waits is named.

        The other process can have subscribers and channels that this configuration does
        not have.
        """
        known = {None, *self._configured}
        for process, state in self.context.reports.answering:
            for each in map(ReportedProblem.as_problem, state.problems):
                is_of_process = each.kind is ProblemKind.PROCESS_WAITS
                if (each.subscriber or each.channel) in known:
                    yield replace(each, error=f"{process}: {each.error}") if is_of_process else each

    async def in_log(self) -> list[OpenProblem]:
        """Return the groups that only the log knows: dead letters, holes and positions.

        Reading them takes longer than the rest. Raises `LogUnavailable`.
        """
        context = self.context
        now, log = context.clock.now(), context.log
        records = await log.controls.continuity(ContinuityFilter(), last=MOST_LETTERS)
        paths = context.daemon.plan.settings.paths
        positions = position_problems(await log.stored_checkpoints(), paths, now)
        return [
            *await self._letters(),
            *grouped(hole_problems(records, now)),
            *grouped(positions),
        ]

    def as_json(self, problem: OpenProblem) -> JsonObject:
        """Return a group with its remedy and its command."""
        configured, sources = self._configured, self.context.daemon.plan.sources
        is_letter = problem.kind is ProblemKind.DEAD_LETTERS
        return {
            "kind": problem.kind,
            "subscriber": problem.subscriber,
            "channel": problem.channel,
            "entity": problem.entity,
            "reason": problem.reason,
            "error": problem.error[:LONGEST_ERROR],
            "error_filter": problem.error_filter,
            "count": problem.count,
            "since": optional_time(problem.since),
            "latest": optional_time(problem.latest),
            "can_be_repeated": not is_letter or can_be_redriven(problem, configured),
            "remedy": remedy_of(problem, configured),
            "command": command_of(problem, configured, sources),
        }

    @property
    def _configured(self) -> Collection[str]:
        """Names of the subscribers, and paths of the channels."""
        settings = self.context.daemon.plan.settings
        return {*settings.subscribers, *settings.paths}

    async def _list(self, _request: web.Request) -> web.Response:
        return json_response(await self.problems())

    async def _letters(self) -> list[OpenProblem]:
        orders = (await self.context.control_state()).redrives.values()
        groups = ProblemGroups()
        async with aclosing(self.context.log.controls.letter_cursor().heads()) as heads:
            number = 0
            async for head in heads:
                if not is_in_work(head, orders):
                    groups.add(letter_problem(head))
                number += 1
                if number % _COMPARED_AT_ONCE == 0:
                    # Comparing many errors takes seconds, and other tasks must not wait for that long.
                    await asyncio.sleep(0)
        return groups.in_order()

    def _of_subscribers(self, board: ControlState, most: int = MOST_LETTERS) -> Iterator[OpenProblem]:
        daemon = self.context.daemon
        for name in daemon.plan.settings.subscribers:
            dispatcher = daemon.dispatchers.get(name)
            status = dispatcher.status if dispatcher is not None else None
            if problem := subscriber_problem(name, board.controls.get(name), status):
                yield problem
            if dispatcher is not None:
                yield from parked_problems(name, dispatcher.parked(most))
