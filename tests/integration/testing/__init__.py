"""The test kit for authors of plugins, on plugins that it must let pass and others that it must not."""
