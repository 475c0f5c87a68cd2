"""One delivery attempt: from the head of a lane to the plugin's outcome."""
