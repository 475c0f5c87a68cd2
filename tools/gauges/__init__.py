"""Gauges of the code's weight: counts in its source, and the files that one event passes."""
