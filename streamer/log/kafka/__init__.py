"""Log in Kafka."""
