"""Jinja2 templates in a sandbox, with limits for their work and the length of their output."""

from streamer.expressions.templates.mistakes import (
    fields_in_template,
    mistaken_calls,
    sentence_of,
    unknown_members,
    unknown_names,
)
from streamer.expressions.templates.rendering import compile_content, compile_template

__all__ = [
    "compile_content",
    "compile_template",
    "fields_in_template",
    "mistaken_calls",
    "sentence_of",
    "unknown_members",
    "unknown_names",
]
