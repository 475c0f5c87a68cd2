"""Settings of the file plugin."""

import re
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from subscribers.lines import Content
from subscribers.placeholders import PlaceholderText

DIRECTIVE = re.compile(r"%[YmdHMj%]")
"""Directive for a part of the current time in a path."""


class FileSettings(BaseModel):
    """Path, format, size and permissions of the files."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, defer_build=True)

    path: PlaceholderText = Field(
        description="the file; it can contain placeholders of the event and parts of the current time in "
        "UTC, such as /data/{entity}/%Y-%m-%d.jsonl; only folders after the first of them are "
        "created"
    )
    format: Content = Field(
        default="structured",
        description="structured: a line is a CloudEvent with body as its data; body: a line is only body",
    )
    max_bytes: int | None = Field(
        default=None,
        ge=1024,
        description="size above which a file is renamed and a new file begun; default: no limit",
    )
    keep: int | None = Field(
        default=None,
        ge=1,
        le=10_000,
        description="number of renamed files to keep for each path; default: all",
    )
    fsync: Literal["always", "interval", "never"] = Field(
        default="always",
        description="always: an event is delivered when the disk has it; interval: the disk gets it a little "
        "later; never: the system decides, and a power failure can lose delivered events",
    )
    fsync_interval_s: float = Field(
        default=1.0, gt=0, le=3600, description="with fsync: interval: time between two writes to the disk"
    )
    mode: str = Field(
        default="0600",
        pattern=r"^0?[0-7]{3}$",
        examples=["0640"],
        description="permissions of new files, in octal and in quotes",
    )

    @field_validator("path")
    @classmethod
    def _names_a_file(cls, path: str) -> str:
        if "\0" in path or not Path(path).name or path.endswith("/"):
            raise ValueError("must name a file")
        if stray := DIRECTIVE.sub("", path).partition("%")[2]:
            raise ValueError(
                f"%{stray[0]} is not a part of the time: use %Y, %m, %d, %j, %H, %M, or %% for a %"
            )
        if DIRECTIVE.sub("", path).endswith("%"):
            raise ValueError("ends with a %: write %% for a literal %")
        return path
