"""Tests of the Kafka plugin without a broker."""
