"""Commands that show and change the entities and channels of Change Data Capture."""
