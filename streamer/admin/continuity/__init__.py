"""Resources of holes and snapshots: what their continuity records tell."""
