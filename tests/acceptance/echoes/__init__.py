"""Targets, an org and a collector that repeat what they were sent, and the secrets to look for."""
