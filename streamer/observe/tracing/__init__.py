"""Tracing: spans of events on their way to a collector."""

from streamer.observe.tracing.queued import Exporter, MemoryTracer, QueuedTracer, TraceMetrics

__all__ = ["Exporter", "MemoryTracer", "QueuedTracer", "TraceMetrics"]
