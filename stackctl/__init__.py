"""Render, run, check and carry a team's local AI stack: a llama.cpp engine behind a LiteLLM gateway."""

__version__ = "0.1.0"
