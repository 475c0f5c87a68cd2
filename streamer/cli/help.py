"""Help pages of the commands, without the names of Python's types."""

from collections.abc import Iterable
from typing import Any, TypeVar

from typer.core import TyperArgument, TyperCommand, TyperGroup

_Parameter = TypeVar("_Parameter")

HELP_OPTIONS = {"help_option_names": ["-h", "--help"]}
"""Settings of the outermost command, which its commands inherit."""


class HelpfulCommand(TyperCommand):
    """Command whose help page shows no type for a switch."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Return the parameters, the option for the help included."""
        return _shown(super().get_params(ctx))


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


def _nothing(ctx: Any) -> str:  # noqa: ARG001 - typer's signature
    return ""
