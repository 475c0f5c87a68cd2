"""Commands that ask a running daemon."""
