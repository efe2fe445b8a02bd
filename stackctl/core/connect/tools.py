"""Every tool that ``stackctl connect`` knows. Pure."""

from __future__ import annotations

from dataclasses import replace

from stackctl.core.connect.agents import (
    build_aider,
    build_claude_code,
    build_codex,
    build_crush,
    build_goose,
    build_llm,
    build_opencode,
    build_pi,
    build_qwen_code,
)
from stackctl.core.connect.editors import (
    build_cline,
    build_continue,
    build_cursor,
    build_jetbrains,
    build_librechat,
    build_open_webui,
    build_zed,
)
from stackctl.core.connect.libraries import (
    build_ai_sdk,
    build_anthropic_node,
    build_anthropic_python,
    build_curl,
    build_langchain,
    build_langgraph,
    build_litellm,
    build_llamaindex,
    build_openai_node,
    build_openai_python,
    build_promptfoo,
)
from stackctl.core.connect.shapes import CHAT, EMBEDDINGS, MESSAGES, RESPONSES, Shape
from stackctl.core.connect.values import Tool

# An agent's first request holds its instructions and the description of every tool.
_AGENT, _EDITOR = 24_576, 16_384

_SHAPES: dict[str, tuple[Shape, ...]] = {
    **dict.fromkeys(("claude-code", "anthropic-python", "anthropic-node"), MESSAGES),
    "codex": RESPONSES,
    **dict.fromkeys(("opencode", "qwen-code", "cline", "aider", "pi", "goose", "crush", "zed", "jetbrains"), CHAT),
    **dict.fromkeys(("open-webui", "librechat", "llm", "promptfoo", "curl", "langgraph", "litellm", "ai-sdk"), CHAT),
    **dict.fromkeys(("continue", "langchain", "llamaindex"), (*CHAT, *EMBEDDINGS)),
    **dict.fromkeys(("openai-python", "openai-node"), (*CHAT, *RESPONSES, *EMBEDDINGS)),
}

_KNOWN = (
    Tool("claude-code", "Claude Code", build_claude_code, ("claude",), "2.1.197", _AGENT, needs_tools=True),
    Tool("codex", "Codex CLI", build_codex, ("codex",), "0.171.0", _AGENT, needs_tools=True),
    Tool("opencode", "opencode", build_opencode, ("opencode",), "1.18.33", _AGENT, needs_tools=True),
    Tool("qwen-code", "Qwen Code", build_qwen_code, ("qwen",), "", _AGENT, needs_tools=True),
    Tool("cline", "Cline (VS Code)", build_cline, ("cline",), "", _AGENT, needs_tools=True),
    Tool("continue", "Continue", build_continue, ("cn",), "", _EDITOR),
    Tool("aider", "aider", build_aider, ("aider",), "", 4096),
    Tool("pi", "pi", build_pi, ("pi",), "", _AGENT, needs_tools=True),
    Tool("goose", "goose", build_goose, ("goose",), "", _AGENT, needs_tools=True),
    Tool("crush", "Crush", build_crush, ("crush",), "", _AGENT, needs_tools=True),
    Tool("zed", "Zed", build_zed, ("zed", "zeditor"), "", _EDITOR),
    Tool("jetbrains", "JetBrains AI Assistant", build_jetbrains, ("idea", "pycharm"), "", _EDITOR),
    Tool("cursor", "Cursor", build_cursor, ("cursor",)),
    Tool("open-webui", "Open WebUI", build_open_webui, ("open-webui",)),
    Tool("librechat", "LibreChat", build_librechat),
    Tool("llm", "llm", build_llm, ("llm",)),
    Tool("promptfoo", "promptfoo", build_promptfoo, ("promptfoo",)),
    Tool("curl", "curl", build_curl, ("curl",), "7.88.1"),
    Tool("openai-python", "OpenAI SDK, Python", build_openai_python, (), "3.51.0"),
    Tool("anthropic-python", "Anthropic SDK, Python", build_anthropic_python, (), "2.10.0"),
    Tool("openai-node", "OpenAI SDK, Node", build_openai_node, (), "6.49.0"),
    Tool("anthropic-node", "Anthropic SDK, Node", build_anthropic_node, (), "1.14.0"),
    Tool("langchain", "LangChain", build_langchain),
    Tool("langgraph", "LangGraph", build_langgraph, (), "", 0, needs_tools=True),
    Tool("llamaindex", "LlamaIndex", build_llamaindex),
    Tool("ai-sdk", "Vercel AI SDK", build_ai_sdk),
    Tool("litellm", "LiteLLM SDK", build_litellm),
)

TOOLS = {tool.name: replace(tool, shapes=_SHAPES.get(tool.name, ())) for tool in _KNOWN}
