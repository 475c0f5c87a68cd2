"""A function of expressions: its parameters, and the conversion of its arguments."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from jmespath.exceptions import JMESPathError

from streamer.expressions.functions.budget import LONGEST_TEXT

_SHOWN = 60
_KINDS = {
    bool: "a boolean",
    str: "a text",
    int: "a number",
    float: "a number",
    Decimal: "a number",
    list: "an array",
    dict: "an object",
    type(None): "null",
}


class UnfitArgument(ValueError):
    """A function does not accept a value; the message says what it accepts."""


class FunctionFailed(JMESPathError):
    """A function can't be evaluated; the message names the function and the argument."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """Parameter of a function; `read` converts an argument for the function.

    `read` raises `UnfitArgument`. `kinds` has the JMESPath types that the parameter
    accepts; empty means any type. If an argument is null, the value of the function
    is null, unless the parameter `takes_null`. If a parameter `is_named`, its
    argument must be a literal in the expression.
    """

    name: str
    read: Callable[[Any], Any]
    kinds: tuple[str, ...] = ()
    is_optional: bool = False
    takes_null: bool = False
    is_named: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """Function of expressions; `returns` is the JMESPath type of its value, or empty for any type.

    `call` gets the converted arguments, and raises `UnfitArgument`. With
    `is_variadic`, the last parameter takes one or more arguments. A call spends
    `steps` of the budget, in addition to steps for the size of its arguments and
    its value.
    """

    name: str
    parameters: tuple[Parameter, ...]
    call: Callable[..., Any]
    returns: str = ""
    is_variadic: bool = False
    steps: int = 6

    @property
    def fewest(self) -> int:
        """Least number of arguments."""
        return sum(not each.is_optional for each in self.parameters)

    @property
    def most(self) -> int | None:
        """Greatest number of arguments; `None` if there is no limit."""
        return None if self.is_variadic else len(self.parameters)

    def __call__(self, arguments: Sequence[Any]) -> Any:
        """Return the value for `arguments`; raises `FunctionFailed`."""
        self.check_count(len(arguments))
        values = []
        for position, (parameter, argument) in enumerate(self.paired(arguments), start=1):
            if argument is None and not parameter.takes_null:
                return None
            values.append(self.read(position, parameter, argument))
        try:
            return self.call(*values)
        except UnfitArgument as error:
            raise FunctionFailed(f"{self.name}(): {error}") from error

    def paired(self, arguments: Sequence[Any]) -> Iterator[tuple[Parameter, Any]]:
        """Yield each argument with its parameter."""
        last = len(self.parameters) - 1
        for position, argument in enumerate(arguments):
            yield self.parameters[min(position, last)], argument

    def check_count(self, count: int) -> None:
        """Raise `FunctionFailed` unless the function takes `count` arguments."""
        most = self.most
        if count >= self.fewest and (most is None or count <= most):
            return
        takes = "at least " * (most is None) + str(self.fewest)
        if most is not None and most != self.fewest:
            takes = f"{self.fewest} to {most}"
        plural = "" if takes.endswith("1") else "s"
        names = ", ".join(each.name + "?" * each.is_optional for each in self.parameters)
        raise FunctionFailed(f"{self.name}({names}) takes {takes} argument{plural}, found {count}")

    def read(self, position: int, parameter: Parameter, argument: Any) -> Any:
        """Return the converted `argument` at `position`; raises `FunctionFailed`."""
        try:
            return parameter.read(argument)
        except UnfitArgument as error:
            sentence = f"{self.name}(): argument {position} ({parameter.name}) {error}"
            raise FunctionFailed(sentence) from error


def kind_of(value: Any) -> str:
    """Return the kind of `value` for an error message, such as `a number`."""
    return _KINDS.get(type(value), "an expression")


def shown(value: str) -> str:
    """Return the quoted beginning of a text for an error message."""
    return repr(value if len(value) <= _SHOWN else value[: _SHOWN - 1] + "…")


def a_text(value: Any) -> str:
    """Read a text."""
    if isinstance(value, str):
        return value
    raise UnfitArgument(f"must be a text, found {kind_of(value)}")


def anything(value: Any) -> Any:
    """Read any value."""
    return value


def one_of(*words: str) -> Callable[[Any], str]:
    """Return a reader of one of `words`."""

    def read(value: Any) -> str:
        if isinstance(value, str) and value in words:
            return str(value)
        found = shown(value) if isinstance(value, str) else kind_of(value)
        raise UnfitArgument(f"must be one of {', '.join(words)}, found {found}")

    return read


def whole(least: int, most: int) -> Callable[[Any], int]:
    """Return a reader of a whole number from `least` to `most`."""

    def read(value: Any) -> int:
        is_number = isinstance(value, int | float | Decimal) and not isinstance(value, bool)
        if is_number and least <= value <= most and value == int(value):
            return int(value)
        raise UnfitArgument(
            f"must be a whole number from {least:,} to {most:,}, found {_number_or_kind(value)}"
        )

    return read


def bounded(text: str) -> str:
    """Return `text`; raises `UnfitArgument` if it is too long."""
    if len(text) > LONGEST_TEXT:
        raise UnfitArgument(f"the text would have more than {LONGEST_TEXT:,} characters")
    return text


def _number_or_kind(value: Any) -> str:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return str(value)[:_SHOWN] if is_number else kind_of(value)
