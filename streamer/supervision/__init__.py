"""Supervision: probes, status, and the detection of stalled work."""
