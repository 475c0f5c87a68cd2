"""Options, log lines and a producer of librdkafka, the Kafka client."""
