"""The command `streamer asyncapi`."""

from pathlib import Path
from typing import Annotated

import typer
import yaml

from streamer.asyncapi import Interface, asyncapi_document
from streamer.cli.failure import failures_reported
from streamer.cli.output import print_json
from streamer.configuration import load_document

_WIDTH = 110


def asyncapi(
    config: Annotated[
        list[Path] | None,
        typer.Option(
            "--config",
            "-c",
            metavar="FILE",
            help="A YAML file; of several, later ones override; default: no servers, any topics.",
        ),
    ] = None,
    *,
    json_: Annotated[bool, typer.Option("--json", help="Print JSON instead of YAML.")] = False,
) -> None:
    """Print an AsyncAPI 3.0 document of all topics in Kafka: names, keys, headers, schemas, servers.

    It connects to nothing, and holds no secret. The secrets of the configuration
    need not be there.
    """
    with failures_reported():
        interface = Interface.of(load_document(config)) if config else Interface.by_default()
        document = asyncapi_document(interface)
        if json_:
            print_json(document)
        else:
            typer.echo(yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=_WIDTH), nl=False)
