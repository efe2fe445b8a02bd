"""Prove that the stack works without a network."""
