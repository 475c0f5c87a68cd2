"""The command `streamer problems`."""

import typer
from rich.text import Text

from streamer.cli.operating.api_command import ApiOptions, api_command
from streamer.cli.output import REFUSED, AsJson, at, console, counted, plain, print_json, print_missing
from streamer.events import JsonObject


@api_command
async def problems(where: ApiOptions, *, as_json: AsJson = False) -> None:
    """Show what needs a person now, the newest first: one entry for each cause, with its remedy.

    The answer covers all processes that share the log and report themselves: those whose
    console is on. It names each process that does not answer, until the process has been
    silent for more than ten minutes.

    Exits 0 when nothing needs a person; 1 when something does, or when the daemon
    refuses or can't be reached; 2 for a mistake in the arguments.
    """
    answer = await where.api().for_long_requests.get("/problems")
    found = answer["problems"]
    if as_json:
        print_json(answer)
    else:
        _print(answer, where)
    if found:
        raise typer.Exit(REFUSED)


def _print(answer: JsonObject, where: ApiOptions) -> None:
    shown, found = console(), answer["problems"]
    for each in found:
        shown.print(_heading(each), soft_wrap=True)
        for line in (each["error"], f"→ {each['remedy']}", f"$ {where.same_daemon(each['command'])}"):
            if line:
                shown.print(Text("  ").append_text(plain(line)), soft_wrap=True)
    if found:
        shown.print(f"{counted(len(found), 'problem')}.")
    else:
        here = " in the processes that answer" if answer.get("missing") else ""
        shown.print(f"Nothing needs a person{here}.")
    print_missing(answer)


def _heading(problem: JsonObject) -> Text:
    kind, part = problem["kind"].replace("_", " "), problem["subscriber"] or problem["channel"] or "process"
    reason = f" ({problem['reason']})" if problem["reason"] else ""
    many = f", {problem['count']:,}" if problem["count"] > 1 else ""
    since = f", since {at(problem['since'])}" if problem["since"] else ""
    return Text(kind, style="bold").append_text(plain(f"  {part}{reason}{many}{since}"))
