"""The test kit for plugin authors, with correct plugins and with wrong ones."""
