"""Generators of the metrics page and the dashboard, and a real Prometheus for tests."""
