"""JSON Schemas of the records that others read."""

from streamer.log.schemas.catalogue import SchemaName, definitions, reachable, schema, schema_of
from streamer.log.schemas.changes import DEFINITIONS, reference, references
from streamer.log.schemas.messages import DATA_OF_TYPES, data_of, definitions_of

__all__ = [
    "DATA_OF_TYPES",
    "DEFINITIONS",
    "SchemaName",
    "data_of",
    "definitions",
    "definitions_of",
    "reachable",
    "reference",
    "references",
    "schema",
    "schema_of",
]
