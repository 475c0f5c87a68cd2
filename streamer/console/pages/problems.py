"""Page of the problems: what needs a person, grouped by cause, each with its remedy and its actions."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from urllib.parse import quote, urlencode

from aiohttp import web

from streamer.admin.problems.groups import ProblemKind
from streamer.channel_paths import ChannelKind
from streamer.console.context import PageContext
from streamer.events import JsonObject

_MOST_SHOWN = 60
_TITLES = {
    ProblemKind.DEAD_LETTERS: ("{} dead letter", "{} dead letters"),
    ProblemKind.PARKED: ("{} parked event", "{} parked events"),
    ProblemKind.TARGET_DOWN: ("target down, {} event waits", "target down, {} events wait"),
    ProblemKind.HELD: ("held, {} event waits", "held, {} events wait"),
    ProblemKind.PAUSED: ("paused by {reason}", "paused by {reason}"),
    ProblemKind.DISABLED: ("paused by the {reason}", "paused by the {reason}"),
    ProblemKind.LATE: ("late, {} event waits", "late, {} events wait"),
    ProblemKind.PLUGIN_NOT_OPEN: ("can't be opened", "can't be opened"),
    ProblemKind.HOLE: ("{} hole without a repair", "{} holes without a repair"),
    ProblemKind.REPAIR_WAITS: ("{} repair waits", "{} repairs wait"),
    ProblemKind.POSITION_EXPIRES: ("the position expires", "the position expires"),
    ProblemKind.CHANNEL_REFUSED: ("the channel is refused", "the channel is refused"),
    ProblemKind.PROCESS_WAITS: ("this process waits", "this process waits"),
}
_REASONED = frozenset({ProblemKind.DEAD_LETTERS, ProblemKind.HOLE, ProblemKind.REPAIR_WAITS})
# These wait for a person, but lose nothing meanwhile.
_PATIENT = frozenset({ProblemKind.PARKED, ProblemKind.PAUSED, ProblemKind.HELD, ProblemKind.REPAIR_WAITS})


@dataclass(frozen=True, slots=True, kw_only=True)
class ProblemAction:
    """Action for a problem: a link to `address`, or a form that is sent to it with `is_form`."""

    label: str
    address: str
    is_form: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ProblemPages:
    """`/console/problems`."""

    context: PageContext

    def routes(self) -> list[web.RouteDef]:
        """Return the routes of this page."""
        return [web.get("/problems", self._list)]

    async def _list(self, request: web.Request) -> web.Response:
        found = await self.context.resources.problems.problems(self.context.recent.problems.records)
        problems = found["problems"]
        return self.context.renderer.page(
            request,
            "problems.html",
            title="Problems",
            total=len(problems),
            problems=[
                {
                    **each,
                    "title": _title(each),
                    "level": "waits" if each["kind"] in _PATIENT else "bad",
                    "badge": each["reason"].replace("_", " ") if each["kind"] in _REASONED else "",
                    "actions": actions_of(each),
                }
                for each in problems[:_MOST_SHOWN]
            ],
        )


def actions_of(problem: JsonObject) -> Sequence[ProblemAction]:
    """Return what an operator can do about a problem of the API; the first action is the usual one."""
    return _ACTIONS[ProblemKind(problem["kind"])](problem)


def _title(problem: JsonObject) -> str:
    one, many = _TITLES[ProblemKind(problem["kind"])]
    return (one if problem["count"] == 1 else many).format(f"{problem['count']:,}", reason=problem["reason"])


def _link(label: str, path: str, **query: str | None) -> ProblemAction:
    given = {name: value for name, value in query.items() if value}
    return ProblemAction(label=label, address=f"/console{path}{'?' if given else ''}{urlencode(given)}")


def _change(label: str, problem: JsonObject, change: str) -> ProblemAction:
    name = quote(problem["subscriber"], safe="")
    return ProblemAction(label=label, address=f"/console/subscribers/{name}/{change}", is_form=True)


def _subscriber(problem: JsonObject) -> ProblemAction:
    return _link("Open the subscriber", f"/subscribers/{quote(problem['subscriber'], safe='')}")


def _of_letters(problem: JsonObject) -> Sequence[ProblemAction]:
    chosen = {name: problem[name] for name in ("subscriber", "channel", "reason")}
    chosen["error"] = problem["error_filter"]
    letters = _link("Show the dead letters", "/dead-letters", **chosen)
    if not (problem["can_be_repeated"] and problem["error_filter"]):
        return (letters,)
    # The person must find and fix the cause first.
    return (letters, _link("Preview a redrive", "/dead-letters/redrive", **chosen))


def _of_hole(problem: JsonObject) -> Sequence[ProblemAction]:
    holes = _link("Show and acknowledge the holes", "/continuity", channel=problem["channel"])
    if ChannelKind.of(problem["channel"]) is not ChannelKind.CHANGES:
        return (holes,)
    return (
        _link("Take a snapshot", "/snapshots", entity=problem["entity"], channel=problem["channel"]),
        holes,
    )


_ACTIONS: dict[ProblemKind, Callable[[JsonObject], Sequence[ProblemAction]]] = {
    ProblemKind.DEAD_LETTERS: _of_letters,
    ProblemKind.PARKED: lambda problem: (
        _link("Show the parked keys", "/parked", subscriber=problem["subscriber"]),
        _subscriber(problem),
    ),
    ProblemKind.TARGET_DOWN: lambda problem: (_change("Probe", problem, "probe"), _subscriber(problem)),
    ProblemKind.HELD: lambda problem: (_change("Probe", problem, "probe"), _subscriber(problem)),
    ProblemKind.PAUSED: lambda problem: (_change("Resume", problem, "resume"), _subscriber(problem)),
    ProblemKind.DISABLED: lambda problem: (_change("Resume", problem, "resume"), _subscriber(problem)),
    ProblemKind.LATE: lambda problem: (_subscriber(problem),),
    ProblemKind.PLUGIN_NOT_OPEN: lambda problem: (_subscriber(problem),),
    ProblemKind.HOLE: _of_hole,
    ProblemKind.REPAIR_WAITS: lambda problem: (
        _link("Show the holes", "/continuity", channel=problem["channel"]),
    ),
    ProblemKind.POSITION_EXPIRES: lambda problem: (
        _link("Open the position", "/channels/position", channel=problem["channel"]),
    ),
    ProblemKind.CHANNEL_REFUSED: lambda _: (_link("Show the channels", "/channels"),),
    ProblemKind.PROCESS_WAITS: lambda _: (_link("Show the health", ""),),
}
