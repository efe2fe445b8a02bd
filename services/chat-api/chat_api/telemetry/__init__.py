"""Logs, metrics and the figures of this machine."""
