"""JSON Schemas of the records that other programs read."""

from streamer.log.schemas.catalogue import (
    DEFINITIONS,
    SchemaName,
    data_of_types,
    definitions,
    definitions_of,
    reachable,
    reference,
    references,
    schema,
)

__all__ = [
    "DEFINITIONS",
    "SchemaName",
    "data_of_types",
    "definitions",
    "definitions_of",
    "reachable",
    "reference",
    "references",
    "schema",
]
