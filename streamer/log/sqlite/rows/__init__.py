"""Functions that write and read the rows of each table."""
