"""Tests of the decoding of events from Avro."""
