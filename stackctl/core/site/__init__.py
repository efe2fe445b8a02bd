"""A site as values: found, loaded, started. Pure."""
