"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

Config = Annotated[
    list[Path],
    typer.Option(
        "--config", "-c", metavar="FILE", help="A YAML file; of several, later ones override earlier ones."
    ),
]

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]
