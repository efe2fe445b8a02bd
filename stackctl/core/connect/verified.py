"""Version and day with which tools worked as ``stackctl connect`` says. ``make test-clients`` writes them. Pure."""

from __future__ import annotations

from types import MappingProxyType

VERIFIED = MappingProxyType(
    {
        "claude-code": ("2.1.197", "2026-11-29"),
        "codex": ("0.171.0", "2026-11-29"),
        "opencode": ("1.18.33", "2026-11-29"),
        "qwen-code": ("0.24.4", "2026-11-29"),
        "cline": ("3.0.65", "2026-11-29"),
        "continue": ("1.5.47", "2026-11-29"),
        "aider": ("0.86.2", "2026-11-29"),
        "pi": ("1.6.0", "2026-11-29"),
        "llm": ("0.36", "2026-11-29"),
        "promptfoo": ("0.123.1", "2026-11-29"),
        "curl": ("7.88.1", "2026-11-29"),
        "openai-python": ("3.51.0", "2026-11-29"),
        "anthropic-python": ("2.10.0", "2026-11-29"),
        "openai-node": ("6.49.0", "2026-11-29"),
        "anthropic-node": ("1.14.0", "2026-11-29"),
        "langchain": ("1.7.4", "2026-11-29"),
        "langgraph": ("1.2.22", "2026-11-29"),
        "llamaindex": ("0.8.1", "2026-11-29"),
        "ai-sdk": ("7.0.173", "2026-11-29"),
        "litellm": ("1.106.2", "2026-11-29"),
    }
)
