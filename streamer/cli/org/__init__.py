"""Commands that show and change which entities of the org announce changes, and where."""
