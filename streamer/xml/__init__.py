"""XML from outside, parsed within limits, and XML elements from JSON objects."""
