"""A snapshot of very many records that change meanwhile."""
