"""Options, log lines and a producer of librdkafka, the Kafka client, for the log and for plugins."""
