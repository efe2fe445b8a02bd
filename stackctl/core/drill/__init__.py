"""Drills: a provider that fails on demand, and what a client of the gateway must see then. Pure."""
