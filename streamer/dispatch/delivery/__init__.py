"""One attempt at a delivery: from the head of a lane to the plugin's outcome."""
