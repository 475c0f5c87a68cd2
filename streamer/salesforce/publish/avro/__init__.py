"""Encoding of JSON values as binary Avro: exactly, by the type of each field, or not at all."""

from streamer.salesforce.publish.avro.converters import DatumEncoder, FieldRefused

__all__ = ["DatumEncoder", "FieldRefused"]
