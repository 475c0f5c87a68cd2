"""The command `streamer flow`."""

from pathlib import Path
from typing import Annotated

import typer

from streamer.cli.failure import failures_reported
from streamer.cli.flow.drawing import svg
from streamer.cli.flow.graph import Graph, graph
from streamer.cli.flow.tree import trees
from streamer.cli.options import Config
from streamer.cli.output import console, print_json
from streamer.configuration import load_document, load_draft
from streamer.errors import ConfigurationError


def flow(
    config: Config,
    *,
    svg_: Annotated[
        Path | None, typer.Option("--svg", metavar="FILE", help="Write a drawing to this file instead.")
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print JSON instead.")] = False,
) -> None:
    """Draw which subscriber gets which events, and after which other, without any connection.

    The secrets of the configuration need not be there.

    Exits 0 when it is done, 2 for a mistake in the arguments or in the
    configuration.
    """
    with failures_reported():
        document = load_document(config)
        found = graph(load_draft(document), document)
        if svg_ is not None:
            _write(svg_, found)
        if json_:
            print_json(
                {
                    "arrows": [[tail.name, head.name] for tail, head in found.arrows],
                    "subscribers": list(found.subscribers),
                }
            )
        elif svg_ is None:
            for tree in trees(found):
                console().print(tree)


def _write(path: Path, found: Graph) -> None:
    try:
        path.write_text(svg(found), encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"{path} can't be written: {error.strerror}") from error
