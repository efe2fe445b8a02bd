"""Programs that run by their path, on the standard library alone: nothing of ours is imported in them."""
