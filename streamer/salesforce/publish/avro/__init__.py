"""Encoding of JSON values to binary Avro, by the type of each field and exactly, or not at all."""

from streamer.salesforce.publish.avro.converters import DatumEncoder, FieldRefused

__all__ = ["DatumEncoder", "FieldRefused"]
