"""The API gateway: LiteLLM's proxy behind a gate of our own. Run as ``python -m gateway``."""
