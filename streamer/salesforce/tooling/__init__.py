"""Management of the org's channels: which entities announce changes, and on which channels."""
