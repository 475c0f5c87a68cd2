"""The local receivers of targets."""
