"""Answers that were given before, kept for equal requests on the routes that want it."""
