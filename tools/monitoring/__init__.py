"""Metrics, the dashboard and Prometheus: what is made of the code, and what the tests run."""
