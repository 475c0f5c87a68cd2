"""Commands as shells read them: those of `streamer`, and requests of `curl`."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import typer
from typer.core import TyperGroup

from streamer.cli import app

_VALUED = frozenset({"-X", "--request", "-H", "--header", "-d", "--data", "--data-binary", "-o", "-u"})


def parse(words: Sequence[str]) -> None:
    """Parse the arguments of `streamer` as it does itself; raises what that raises for a mistake."""
    command: Any = typer.main.get_command(app)
    rest = list(words)
    while isinstance(command, TyperGroup) and rest and not rest[0].startswith("-"):
        name = rest.pop(0)
        found = command.get_command(command.make_context(name, [], resilient_parsing=True), name)
        if found is None:
            raise typer.BadParameter(f"{name} is not a command")
        command = found
    command.make_context("streamer", rest, resilient_parsing=rest in (["--help"], ["--version"]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request of `curl`."""

    method: str
    url: str
    headers: dict[str, str]
    body: str | None


def request_of(words: Sequence[str]) -> Request:
    """Return the request that `curl` with these arguments sends."""
    urls: list[str] = []
    given: dict[str, list[str]] = {}
    rest = iter(words)
    for word in rest:
        if word in _VALUED:
            given.setdefault(word[:3] if word.startswith("--") else word, []).append(next(rest))
        elif not word.startswith("-"):
            urls.append(word)
    [url] = urls
    headers = [*given.get("-H", ()), *given.get("--h", ())]
    bodies = [*given.get("-d", ()), *given.get("--d", ())]
    methods = [*given.get("-X", ()), *given.get("--r", ())]
    return Request(
        method=methods[0] if methods else "POST" if bodies else "GET",
        url=url if "://" in url else f"http://{url}",
        headers=dict(_header(each) for each in headers),
        body="&".join(bodies) if bodies else None,
    )


def _header(line: str) -> tuple[str, str]:
    name, _, value = line.partition(":")
    return name.strip(), value.strip()
