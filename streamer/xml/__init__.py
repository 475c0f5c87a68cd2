"""XML: trees of what comes from outside, and elements of JSON objects."""
