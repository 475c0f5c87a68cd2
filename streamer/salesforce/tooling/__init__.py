"""Management of the org's channels, and of the entities whose changes they carry."""
