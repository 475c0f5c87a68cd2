"""A real Apache Kafka for tests, benchmarks and the demo."""
