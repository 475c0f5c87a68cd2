"""States of records: whole records, folded from the change events in the log."""
