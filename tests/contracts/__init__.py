"""Contract tests: one suite for all adapters of a port."""
