"""What is finished, and what of that the log has recorded."""
