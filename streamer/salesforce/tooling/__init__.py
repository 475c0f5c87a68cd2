"""Management of an org's channels: which entities announce changes, and on which channels."""
