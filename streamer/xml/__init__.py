"""XML from outside, parsed within bounds, and elements of JSON objects."""
