"""Gauges of the code's size: counts in the source, and the files that one event passes."""
