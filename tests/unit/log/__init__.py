"""Unit tests of the log: its records, its twin and the embedded file."""
