"""Help pages and refusals of the commands, without the words of Python's types."""

from collections.abc import Iterable
from typing import Any, TypeVar

import typer
from typer.core import TyperArgument, TyperCommand, TyperGroup

_Parameter = TypeVar("_Parameter")

HELP_OPTIONS = {"help_option_names": ["-h", "--help"]}
"""Settings of the outermost command, which its commands inherit."""


class HelpfulCommand(TyperCommand):
    """Command whose help page shows no type for a switch, and whose refusals are the configuration's."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Return the parameters, the option for the help included."""
        return _shown(super().get_params(ctx))

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the arguments; raises `typer.BadParameter` for a value that an option does not take."""
        try:
            return super().parse_args(ctx, args)
        except typer.BadParameter as error:
            error.message = _reason(error)
            raise


class HelpfulGroup(TyperGroup):
    """Group of commands whose help page shows no type for a switch."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Return the parameters, the option for the help included."""
        return _shown(super().get_params(ctx))


def _shown(parameters: Iterable[_Parameter]) -> list[_Parameter]:
    shown = list(parameters)
    for each in shown:
        if getattr(each, "is_flag", False) and getattr(each, "metavar", None) is None:
            each.metavar = ""  # type: ignore[attr-defined] # of every option
        if isinstance(each, TyperArgument):
            # Its name says what it takes.
            each.display_type_rich = _nothing  # type: ignore[method-assign] # of this one alone
    return shown


def _reason(error: typer.BadParameter) -> str:
    # Only a mistake needs them: a call to a running daemon must not wait for their import.
    from pydantic import ValidationError  # noqa: PLC0415 - see above

    from streamer.validation import mistakes  # noqa: PLC0415 - see above

    if not isinstance(error.__cause__, ValidationError):
        return error.message
    return "; ".join(mistakes(error.__cause__))


def _nothing(ctx: Any) -> str:  # noqa: ARG001 - typer's signature
    return ""
