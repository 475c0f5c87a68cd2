"""The database file: its lock, schema, connections and threads."""
