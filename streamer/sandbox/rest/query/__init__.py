"""SOQL queries over REST: records, recently viewed records, and definitions of types and fields."""
