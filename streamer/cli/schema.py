"""The command `streamer schema`."""

from streamer.app.plugins import settings_models
from streamer.cli.failure import failures_reported
from streamer.cli.output import print_json
from streamer.configuration.schema import configuration_schema


def schema() -> None:
    """Print the JSON Schema of the configuration, with the settings of all installed plugins.

    Editors complete and check a file whose first line names the schema:
    `# yaml-language-server: $schema=streamer.schema.json`.
    """
    with failures_reported():
        print_json(configuration_schema(settings_models()))
