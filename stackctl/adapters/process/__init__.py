"""The process runtime: supervised processes, their environments and engines."""
