"""Pages of the console, one module for each part of the daemon."""
