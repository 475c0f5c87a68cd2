"""The command `streamer schema`."""

from typing import Annotated

import typer

from streamer.app.plugins import lookup_models, settings_models
from streamer.cli.failure import failures_reported
from streamer.cli.output import print_json
from streamer.configuration.schema import configuration_schema
from streamer.log import schemas
from streamer.log.schemas import SchemaName


def schema(
    of: Annotated[
        SchemaName | None,
        typer.Option(
            metavar="NAME",
            help=f"Describe records that others read: {', '.join(SchemaName)}; default: the configuration.",
        ),
    ] = None,
) -> None:
    """Print the JSON Schema of the configuration, or of the records that others read.

    That of the configuration has the settings of all installed plugins. Editors
    complete and check a file whose first line names the schema:
    `# yaml-language-server: $schema=streamer.schema.json`.

    Those of records follow JSON Schema 2020-12. `events` describes the values of
    event topics, `cloud-events` those with `content_mode: structured`.
    """
    with failures_reported():
        whole = configuration_schema(settings_models(), lookup_models()) if of is None else schemas.schema(of)
        print_json(whole)
