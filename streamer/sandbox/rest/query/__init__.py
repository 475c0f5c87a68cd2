"""SOQL queries over REST: records, recently viewed ones, and definitions of types and fields."""
