"""The adapter that asks providers."""

from __future__ import annotations

from stackctl.adapters.http.provider_calls import ask_provider

__all__ = ["ask_provider"]
