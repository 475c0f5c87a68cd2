"""The command `streamer check`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from streamer.app.plan import effective, plan
from streamer.cli.output import CONFIGURATION, AsJson, Config, counted, failures_reported, print_json
from streamer.clock import SystemClock
from streamer.configuration import load_document
from streamer.errors import ConfigurationError
from streamer.events import JsonObject
from streamer.known_secrets import MASK

_MASKS = f"{MASK} stands for a secret, or for a value from the environment or from a file."


def check(
    config: Config,
    *,
    print_: Annotated[
        bool,
        typer.Option(
            "--print",
            help="Print the configuration in effect as YAML, with all defaults and with masked secrets.",
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Check a configuration and all its expressions, without connecting to anything.

    Exits 0 when the configuration is good, even with warnings, and 2 when it has a
    mistake.
    """
    if as_json:
        _check_as_json(config)
        return
    with failures_reported():
        checked = plan(load_document(config), SystemClock())
        for warning in checked.warnings:
            typer.echo(f"Warning: {warning}", err=True)
        settings = checked.settings
        kind = "Kafka" if settings.log.kafka else "SQLite"
        sentence = (
            f"The configuration is good: {counted(len(settings.paths), 'channel')}, the log in {kind}, "
            f"{counted(len(settings.subscribers), 'subscriber')}."
        )
        if not print_:
            typer.echo(sentence)
            return
        typer.echo(f"# {sentence}\n# {_MASKS}\n{effective(checked)}", nl=False)


def _check_as_json(files: list[Path]) -> None:
    try:
        checked = plan(load_document(files), SystemClock())
    except ConfigurationError as error:
        print_json(_found(mistakes=str(error).splitlines()))
        raise typer.Exit(CONFIGURATION) from None
    settings = checked.settings
    found = {
        "channels": len(settings.paths),
        "log": "kafka" if settings.log.kafka else "sqlite",
        "subscribers": len(settings.subscribers),
    }
    print_json(_found(warnings=list(checked.warnings), **found))


def _found(**what: Any) -> JsonObject:
    nothing: JsonObject = {"mistakes": [], "warnings": [], "channels": None, "log": None, "subscribers": None}
    return {"good": not what.get("mistakes"), **nothing, **what}
