"""Model files: add, pull, check, recommend."""
