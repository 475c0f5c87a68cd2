"""Supervision: probes, gauges, and the detection of stalled work."""
