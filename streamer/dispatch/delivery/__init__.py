"""One attempt at a delivery: the head of a lane becomes a delivery, and the plugin's result an outcome."""
