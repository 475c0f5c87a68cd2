"""Encoding of JSON values as binary Avro. A value that does not fit its field exactly is refused."""

from streamer.salesforce.publish.avro.converters import DatumEncoder, FieldRefused

__all__ = ["DatumEncoder", "FieldRefused"]
