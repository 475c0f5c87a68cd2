"""The sender of outbound messages."""
