"""What the gateway does right now, from two looks at its counters."""
