"""Users of the org, and what each of them can see and change."""
