"""HTTP: to services of this stack, and to the world outside."""
