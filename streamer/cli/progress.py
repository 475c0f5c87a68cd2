"""Display of a redrive's progress."""

import asyncio
from collections.abc import Mapping, Sequence

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from streamer.cli.operating.api import Api, ApiRefused
from streamer.cli.output import console, counted, plain
from streamer.clock import Clock
from streamer.events import JsonObject

_LOOK_S = 0.5
# An order can take a moment to appear in the log.
_LOOKS_FOR_A_TRACE = 10


async def followed(api: Api, redrives: Sequence[str], letters: int, clock: Clock) -> bool:
    """Show how many of `letters` are redriven, until all `redrives` end or the operator presses Ctrl-C.

    Returns false when an operator cancelled a redrive. Raises `ApiRefused` when the
    API no longer answers.
    """
    try:
        ended = await _shown(api, redrives, letters, clock)
    except asyncio.CancelledError:
        console().print(_goes_on(redrives))
        return True
    except ApiRefused as error:
        raise ApiRefused(f"{error} {_goes_on(redrives)}") from error
    cancelled = [each for each in ended.values() if each["cancelled_by"] is not None]
    for each in cancelled:
        console().print(plain(_cancelled(each)))
    if unknown := [id_ for id_ in redrives if id_ not in ended]:
        console().print(
            f"Redrive {', '.join(unknown)} has ended, but the latest audit records do not show the "
            "result. `streamer deadletters list` shows the remaining dead letters."
        )
    else:
        left_out = sum(each["superseded"] for each in ended.values())
        console().print(
            _handed_over(letters - left_out - sum(each["left"] for each in ended.values()), left_out)
        )
    return not cancelled


async def _shown(api: Api, redrives: Sequence[str], letters: int, clock: Clock) -> Mapping[str, JsonObject]:
    """Show the progress, and return the audit record of each ended redrive that has one."""
    columns = TextColumn("redriving"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    ended: dict[str, JsonObject] = {}
    looks = 0
    with Progress(*columns, console=console(), transient=True) as bar:
        task = bar.add_task("", total=letters)
        while True:
            answer = await api.get("/redrives")
            ended |= {each["id"]: each for each in answer["ended"] if each["id"] in redrives}
            ours = [each for each in answer["redrives"] if each["id"] in redrives]
            if ours:
                bar.update(task, completed=letters - sum(each["left"] for each in ours))
            looks = 0 if ours else looks + 1
            if ended.keys() == set(redrives) or looks == _LOOKS_FOR_A_TRACE:
                return ended
            await clock.sleep(_LOOK_S)


def _goes_on(redrives: Sequence[str]) -> str:
    return (
        f"Redrive {', '.join(redrives)} continues in the daemon; `streamer audit` shows the result, and "
        "`streamer deadletters cancel ID` cancels the redrive."
    )


def _cancelled(end: JsonObject) -> str:
    left = counted(end["left"], "dead letter")
    return f"Redrive {end['id']} was cancelled by {end['cancelled_by']}; {left} left."


def _handed_over(letters: int, superseded: int) -> str:
    done = (
        f"{counted(letters, 'event')} redriven; `streamer deadletters list` shows the events that fail again."
    )
    if not superseded:
        return done
    left_out = f"{counted(superseded, 'event')} not redriven"
    return f"{done} {left_out}, because a later event of the same key was already delivered."
