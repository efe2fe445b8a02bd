"""Limits that several gateways count together, in a Redis. Does I/O: one connection a worker."""
