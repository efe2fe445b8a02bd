"""Read bundles and compare them with what they say of themselves."""
