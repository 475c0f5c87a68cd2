"""Command that publishes platform events from lines of JSON."""
