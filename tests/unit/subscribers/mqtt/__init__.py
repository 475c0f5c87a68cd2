"""Tests of the MQTT plugin without a broker."""
