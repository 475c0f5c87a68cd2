"""SOQL queries: the parser, and the evaluation over the records."""
