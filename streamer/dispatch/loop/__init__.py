"""The running loop of a subscriber: it reads the feed, and tries lanes one by one or in batches."""
