"""States of records in compacted topics, and local copies of these topics for fast look-ups."""
