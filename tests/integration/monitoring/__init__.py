"""Prometheus and Grafana: the rules, the dashboard, and the alerts under real faults."""
