"""Outbound messages, part by part."""
