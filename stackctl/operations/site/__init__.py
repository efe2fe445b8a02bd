"""A site: made, loaded, rendered, placed on its host; what runs of it."""
