"""Engines of the process runtime: found, built, tried, and what a start of them proved."""
