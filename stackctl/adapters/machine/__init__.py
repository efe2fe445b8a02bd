"""This machine: its host, its ports and processes, other programs, signals."""
