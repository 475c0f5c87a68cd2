"""Functions of expressions, beside JMESPath's own: numbers, times, texts, hashes and tables."""

from streamer.dispatch.attempt.functions.budget import Budget, LimitExceeded
from streamer.dispatch.attempt.functions.function import Function, FunctionFailed, Parameter, Unfit
from streamer.dispatch.attempt.functions.library import Functions

__all__ = ["Budget", "Function", "FunctionFailed", "Functions", "LimitExceeded", "Parameter", "Unfit"]
