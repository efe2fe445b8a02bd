"""What loading a bundle checks, writes and records. Pure."""
