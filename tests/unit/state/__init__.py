"""States of records."""
