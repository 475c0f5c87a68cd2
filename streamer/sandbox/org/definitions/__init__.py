"""Definitions of types and events: read from a file, enforced on writing, and converted to Avro."""

from streamer.sandbox.org.definitions.declaration import DeclaredSchema
from streamer.sandbox.org.definitions.mistakes import DeclarationError
from streamer.sandbox.org.definitions.parser import parse_schema
from streamer.sandbox.org.definitions.schema_file import read_schema

__all__ = ["DeclarationError", "DeclaredSchema", "parse_schema", "read_schema"]
