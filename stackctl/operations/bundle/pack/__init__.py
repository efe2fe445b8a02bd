"""Pack the stack into a bundle."""
