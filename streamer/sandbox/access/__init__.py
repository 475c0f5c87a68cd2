"""Users of the org, and their rights to see and change data."""
