"""The map of the flow: what it says, and where its parts are drawn."""
