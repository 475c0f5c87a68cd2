"""Composition root. Only this package knows the concrete classes of logs, sources and plugins."""
