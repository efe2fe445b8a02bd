"""The client of the agents, and the values that they answer with.

Names are found when they are asked for: the service itself uses the values alone.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agents_client.errors import AgentsError as AgentsError
    from agents_client.llm import LLMManager as LLMManager
    from agents_client.places import LLMConfig as LLMConfig
    from agents_client.places import LLMProvider as LLMProvider
    from agents_client.service import AgentService as AgentService
    from agents_client.service import get_agent_service as get_agent_service
    from agents_client.usage import LLMUsageTracker as LLMUsageTracker

_HOMES = {
    "AgentsError": "errors",
    "LLMManager": "llm",
    "LLMConfig": "places",
    "LLMProvider": "places",
    "AgentService": "service",
    "get_agent_service": "service",
    "LLMUsageTracker": "usage",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
