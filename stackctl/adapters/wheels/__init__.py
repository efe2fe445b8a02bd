"""Python wheels: our own, an index's, and collections of them."""
