"""Ingest: a backlog from CometD into Kafka, and the latency of a steady stream."""
