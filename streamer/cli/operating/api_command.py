"""Decorator for commands that call a daemon's admin API, and the options that they share."""

import asyncio
import getpass
import inspect
import os
import re
import shlex
from collections.abc import Callable, Coroutine
from dataclasses import MISSING, dataclass, fields, is_dataclass, replace
from datetime import datetime, timedelta
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import typer

from streamer.cli.operating.api import DEFAULT_URL, Api, api_of
from streamer.cli.output import failures_reported
from streamer.clock import SystemClock
from streamer.configuration import load_document, load_draft
from streamer.errors import StreamerError
from streamer.events import JsonObject

_COMPLETION_S = 1.0
_DOCTOR = "streamer doctor"


Url = Annotated[
    str | None,
    typer.Option(
        envvar="STREAMER_ADMIN_URL",
        metavar="URL",
        help=f"The admin API's address.  [default: {DEFAULT_URL}]",
    ),
]
Token = Annotated[
    str | None,
    typer.Option(
        envvar="STREAMER_ADMIN_TOKEN",
        metavar="TOKEN",
        help=(
            "The admin API's token. Prefer the environment variable, because other users of this "
            "machine can see a command's arguments.  [default: none]"
        ),
    ),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiOptions:
    """Options that locate the API."""

    config: Annotated[
        list[Path] | None,
        typer.Option(
            "--config",
            "-c",
            metavar="FILE",
            help=(
                "The daemon's configuration, which holds the admin API's address and token.  [default: none]"
            ),
        ),
    ] = None
    url: Url = None
    token: Token = None

    def api(self) -> Api:
        """Return the API. Raises `ConfigurationError`."""
        return api_of(self.config or [], self.url, self.token)

    def same_daemon(self, command: str) -> str:
        """Return a suggested command with the options that lead to this daemon, but without a token."""
        files = shlex.join(part for path in self.config or [] for part in ("-c", str(path)))
        if command.startswith(f"{_DOCTOR} "):
            # The doctor asks no daemon: it reads files, the given ones or the daemon's own.
            return f"{_DOCTOR} {files}" if files else command
        url = f"--url {shlex.quote(self.url)}" if self.url and self.url != DEFAULT_URL else ""
        return " ".join(part for part in (command, files, url) if part)


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorOptions:
    """Option that names the operator for the audit."""

    by: Annotated[
        str | None,
        typer.Option(
            envvar="STREAMER_OPERATOR",
            metavar="NAME",
            help="Your name, which the audit records.  [default: the system's user]",
        ),
    ] = None

    @property
    def name(self) -> str:
        """Name of the operator in the audit."""
        return self.by or _system_user()


def api_command(function: Callable[..., Coroutine[None, None, None]]) -> Callable[..., None]:
    """Turn a coroutine function into a command.

    A parameter whose type is a dataclass becomes one option per field. The command
    reports Streamer's own errors and exits with their status.
    """
    groups: dict[str, type[Any]] = {}
    parameters: list[inspect.Parameter] = []
    for parameter in inspect.signature(function).parameters.values():
        if isinstance(parameter.annotation, type) and is_dataclass(parameter.annotation):
            groups[parameter.name] = parameter.annotation
            parameters += _options(parameter.annotation)
        else:
            parameters.append(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY))

    @wraps(function)
    def command(**given: Any) -> None:
        made = {
            name: group(**{each.name: given.pop(each.name) for each in fields(group)})
            for name, group in groups.items()
        }
        with failures_reported():
            asyncio.run(function(**made, **given))

    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined] # typer reads it
    command.__annotations__ = {each.name: each.annotation for each in parameters}
    return command


def subscriber_names(context: typer.Context, incomplete: str) -> list[str]:
    """Return the subscribers that begin with `incomplete`, for the shell.

    The list is empty when the API does not answer within a second.
    """
    listed = _listed(context, "subscribers")
    return [each["name"] for each in listed if each["name"].startswith(incomplete)]


def redrive_ids(context: typer.Context, incomplete: str) -> list[str]:
    """Complete the id of an open redrive, as `subscriber_names` completes a name."""
    listed = _listed(context, "redrives")
    return [each["id"] for each in listed if each["id"].startswith(incomplete)]


def snapshot_ids(context: typer.Context, incomplete: str) -> list[str]:
    """Complete the id of an unfinished snapshot, as `subscriber_names` completes a name."""
    ended = {"full", "partial", "none"}
    listed = [each["id"] for each in _listed(context, "snapshots") if each["state"] not in ended]
    return [each for each in listed if each.startswith(incomplete)]


def channels_with_holes(context: typer.Context, incomplete: str) -> list[str]:
    """Complete a channel of the latest continuity records, as `subscriber_names` completes a name."""
    paths = {each["channel"] for each in _listed(context, "continuity", "records")}
    return sorted(path for path in paths if path.startswith(incomplete))


def letter_ids(context: typer.Context, incomplete: str) -> list[str]:
    """Complete the id of a recent dead letter, as `subscriber_names` completes a name."""
    listed = _listed(context, "dead-letters", "letters")
    return [each["id"] for each in listed if each["id"].startswith(incomplete)]


def channel_paths(context: typer.Context, incomplete: str) -> list[str]:
    """Complete a channel's path from the configuration, or from the daemon's checkpoints.

    The daemon is asked if no configuration is given, or if the configuration has a
    mistake.
    """
    return [each for each in _configured_paths(context) if each.startswith(incomplete)]


def _configured_paths(context: typer.Context) -> list[str]:
    files = context.params.get("config")
    if files:
        try:
            draft = load_draft(load_document(files))
            return sorted(channel.path for channel in draft.settings.channels) if draft.channels else []
        except StreamerError:
            # The file can be unfinished; the daemon still knows its channels.
            pass
    return [each["channel"] for each in _listed(context, "checkpoints")]


Name = Annotated[
    str,
    typer.Argument(
        metavar="NAME", help="The subscriber's name in the configuration.", autocompletion=subscriber_names
    ),
]


def _listed(context: typer.Context, what: str, member: str = "") -> list[JsonObject]:
    """Return the list `member` of the API's answer at the path `what`; without `member`, the list `what`."""
    given = context.params
    try:
        where = ApiOptions(config=given.get("config"), url=given.get("url"), token=given.get("token"))
        api = replace(where.api(), timeout_s=_COMPLETION_S)
        answer: list[JsonObject] = asyncio.run(api.get(f"/{what}"))[member or what]
    except StreamerError:
        return []
    return answer


def _system_user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        # In a container, the user can have a number but no name.
        return f"uid {os.getuid()}"


def _options(group: type[Any]) -> list[inspect.Parameter]:
    return [
        inspect.Parameter(
            each.name,
            inspect.Parameter.KEYWORD_ONLY,
            annotation=each.type,
            default=inspect.Parameter.empty if each.default is MISSING else each.default,
        )
        for each in fields(group)
    ]


_TIME_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_TIME_FORMS = "write a duration before now, such as 30m, 2h or 5d, or a time such as 2026-01-31T09:30"


def moment(text: str) -> str:
    """Return the time `text` as RFC 3339; `text` is an ISO time, or `2h` for two hours ago.

    An ISO time without a zone is read in this machine's zone. Raises
    `typer.BadParameter`.
    """
    try:
        return (_ago(text) or datetime.fromisoformat(text).astimezone()).isoformat()
    except (ValueError, OverflowError):
        raise typer.BadParameter(_TIME_FORMS) from None


def _ago(text: str) -> datetime | None:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", text)
    if match is None:
        return None
    now = datetime.fromtimestamp(SystemClock().now()).astimezone()
    return now - timedelta(**{_TIME_UNITS[match[2]]: float(match[1])})
