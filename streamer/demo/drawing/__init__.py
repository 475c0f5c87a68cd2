"""Picture of the demo: what it shows as values, and its drawing on a terminal."""
