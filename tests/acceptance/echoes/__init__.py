"""Targets, an org and a collector that repeat requests, and the secrets that must not appear anywhere."""
