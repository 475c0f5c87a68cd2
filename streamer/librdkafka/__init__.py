"""librdkafka, the Kafka client: options, log lines and a producer that can be discarded."""
