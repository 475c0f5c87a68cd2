"""Shows how far a redrive has come."""

import asyncio
from collections.abc import Sequence

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from streamer.cli.api import Api, ApiRefused
from streamer.cli.pages import console, counted
from streamer.clock import SystemClock

_LOOK_S = 0.5
_GOES_ON = "The redrive goes on in the daemon; `streamer audit` tells of its end."


async def followed(api: Api, redrives: Sequence[str], letters: int) -> None:
    """Show how many of so many `letters` are on their way, until all `redrives` have ended or Ctrl-C.

    Raises `ApiRefused` when the API can't be asked any more.
    """
    try:
        await _shown(api, frozenset(redrives), letters)
    except asyncio.CancelledError:
        console().print(_GOES_ON)
    except ApiRefused as error:
        raise ApiRefused(f"{error} {_GOES_ON}") from error
    else:
        console().print(
            f"{counted(letters, 'event')} handed to delivery; "
            "`streamer deadletters list` shows what fails again."
        )


async def _shown(api: Api, redrives: frozenset[str], letters: int) -> None:
    columns = TextColumn("redriving"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console(), transient=True) as bar:
        task = bar.add_task("", total=letters)
        while True:
            answer = await api.get("/redrives")
            if redrives <= {each["id"] for each in answer["ended"]}:
                return
            ours = [each for each in answer["redrives"] if each["id"] in redrives]
            if ours:
                bar.update(task, completed=letters - sum(each["left"] for each in ours))
            await SystemClock().sleep(_LOOK_S)
