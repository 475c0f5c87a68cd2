"""A snapshot of very many records, which change meanwhile."""
