"""What the clients of the log and of plugins share of librdkafka, the Kafka client."""
