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
        description="path of the file, such as /data/{entity}/%Y-%m-%d.jsonl; the path can contain "
        "placeholders of the event and parts of the current time in UTC; Streamer creates only missing "
        "folders that come after the first placeholder or part of the time"
    )
    format: Content = Field(
        default="structured",
        description="content of a line; structured: a CloudEvent with body as its data; body: only body",
    )
    max_bytes: int | None = Field(
        default=None,
        ge=1024,
        description="size at which Streamer renames a file and begins a new file; default: no limit",
    )
    keep: int | None = Field(
        default=None,
        ge=1,
        le=10_000,
        description="number of renamed files that Streamer keeps for each path; default: all files",
    )
    fsync: Literal["always", "interval", "never"] = Field(
        default="always",
        description="time of the write to the disk; always: before an event counts as delivered; interval: "
        "every fsync_interval_s; never: when the system decides. With interval and never, a power "
        "failure can lose delivered events",
    )
    fsync_interval_s: float = Field(
        default=1.0, gt=0, le=3600, description="time between two writes to the disk, with fsync: interval"
    )
    mode: str = Field(
        default="0600",
        pattern=r"^0?[0-7]{3}$",
        examples=["0640"],
        description="permissions of new files, as an octal number in quotes",
    )

    @field_validator("path")
    @classmethod
    def _names_a_file(cls, path: str) -> str:
        if "\0" in path or not Path(path).name or path.endswith("/"):
            raise ValueError("must name a file")
        if stray := DIRECTIVE.sub("", path).partition("%")[2]:
            raise ValueError(
                f"%{stray[0]} is not a part of the time: use %Y, %m, %d, %j, %H or %M, and write "
                "%% for a literal %"
            )
        if DIRECTIVE.sub("", path).endswith("%"):
            raise ValueError("ends with a %: write %% for a literal %")
        return path
