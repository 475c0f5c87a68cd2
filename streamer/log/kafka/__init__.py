"""The durable log in Kafka."""
