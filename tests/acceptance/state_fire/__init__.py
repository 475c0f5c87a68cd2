"""Daemons keep states on a real Kafka while faults strike, and a judge knows only the topics."""
