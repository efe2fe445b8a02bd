"""Model files on the disk."""
