"""The commands `streamer schema` and `streamer asyncapi`."""

from pathlib import Path
from typing import Annotated

import typer
import yaml

from streamer.app.plugins import lookup_models, settings_models
from streamer.asyncapi import Interface, asyncapi_document
from streamer.cli.output import failures_reported, print_json
from streamer.configuration import load_document
from streamer.configuration.schema import configuration_schema
from streamer.log import schemas
from streamer.log.schemas import SchemaName


def schema(
    of: Annotated[
        SchemaName | None,
        typer.Option(
            metavar="NAME",
            help=(
                f"Kind of record whose schema the command prints: {', '.join(SchemaName)}.  [default: the "
                "configuration]"
            ),
        ),
    ] = None,
) -> None:
    """Print the JSON Schema of the configuration, or of the records that consumers read.

    The schema of the configuration includes the settings of all installed plugins.
    Editors complete and check a file whose first line names the schema: `#
    yaml-language-server: $schema=streamer.schema.json`.

    The schemas of records follow JSON Schema 2020-12. `events` describes the values
    in event topics; `cloud-events` describes values with `content_mode:
    structured`.
    """
    with failures_reported():
        whole = configuration_schema(settings_models(), lookup_models()) if of is None else schemas.schema(of)
        print_json(whole)


_WIDTH = 110


def asyncapi(
    config: Annotated[
        list[Path] | None,
        typer.Option(
            "--config",
            "-c",
            metavar="FILE",
            help=(
                "A YAML file; if you give several files, later files override earlier files.  [default: "
                "none; the document then names no servers, and describes topics by patterns]"
            ),
        ),
    ] = None,
    *,
    json_: Annotated[bool, typer.Option("--json", help="Print JSON instead of YAML.")] = False,
) -> None:
    """Print an AsyncAPI 3.0 document that describes all Kafka topics, with keys, headers and schemas.

    The command makes no connection. The document holds no secrets. The command also
    works if the configuration's secrets are missing.
    """
    with failures_reported():
        interface = Interface.of(load_document(config)) if config else Interface.by_default()
        document = asyncapi_document(interface)
        if json_:
            print_json(document)
        else:
            typer.echo(yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=_WIDTH), nl=False)
