"""Real Apache Kafka for tests, benchmarks and the demo."""
