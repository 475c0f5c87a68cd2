"""SOQL queries: parsed, and answered from the records."""
