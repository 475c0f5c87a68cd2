"""What operators see: metrics, logs and probes."""
