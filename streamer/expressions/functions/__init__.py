"""Functions of expressions in addition to JMESPath's: numbers, times, texts, hashes and tables."""

from streamer.expressions.functions.budget import Budget, LimitExceeded
from streamer.expressions.functions.function import Function, FunctionFailed, Parameter, UnfitArgument
from streamer.expressions.functions.library import Functions

__all__ = ["Budget", "Function", "FunctionFailed", "Functions", "LimitExceeded", "Parameter", "UnfitArgument"]
