"""Commands that show and change the org: which entities announce their changes, and on which channels."""
