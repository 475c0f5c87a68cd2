"""Problems that need a person: found in what the daemon knows, grouped by cause, each with its remedy."""
