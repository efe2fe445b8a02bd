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
    build_copilot,
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
from stackctl.core.connect.recorded import AGENTS, CLAUDE_CODE, CODEX
from stackctl.core.connect.shapes import CHAT, EMBEDDINGS, MESSAGES, RESPONSES, Shape
from stackctl.core.connect.values import Tool
from stackctl.core.connect.verified import VERIFIED

# An agent's first request holds its instructions and the description of every tool.
_AGENT, _EDITOR = 24_576, 16_384

_SHAPES: dict[str, tuple[Shape, ...]] = {
    **dict.fromkeys(("anthropic-python", "anthropic-node"), MESSAGES),
    "claude-code": (*MESSAGES, *CLAUDE_CODE),
    "codex": (*RESPONSES, *CODEX),
    **dict.fromkeys(("opencode", "qwen-code", "cline", "pi", "goose", "crush", "copilot", "zed"), (*CHAT, *AGENTS)),
    **dict.fromkeys(("aider", "jetbrains", "open-webui", "librechat", "llm", "promptfoo", "curl"), CHAT),
    **dict.fromkeys(("langgraph", "litellm", "ai-sdk"), CHAT),
    "continue": (*CHAT, *AGENTS, *EMBEDDINGS),
    **dict.fromkeys(("langchain", "llamaindex"), (*CHAT, *EMBEDDINGS)),
    **dict.fromkeys(("openai-python", "openai-node"), (*CHAT, *RESPONSES, *EMBEDDINGS)),
}

_KNOWN = (
    Tool("claude-code", "Claude Code", build_claude_code, ("claude",), _AGENT, needs_tools=True),
    Tool("codex", "Codex CLI", build_codex, ("codex",), _AGENT, needs_tools=True),
    Tool("opencode", "opencode", build_opencode, ("opencode",), _AGENT, needs_tools=True),
    Tool("qwen-code", "Qwen Code", build_qwen_code, ("qwen",), _AGENT, needs_tools=True),
    Tool("cline", "Cline", build_cline, ("cline",), _AGENT, needs_tools=True, is_extension=True),
    Tool("continue", "Continue", build_continue, ("cn",), _EDITOR, is_extension=True),
    Tool("aider", "aider", build_aider, ("aider",), 4096),
    Tool("pi", "pi", build_pi, ("pi",), _AGENT, needs_tools=True),
    Tool("goose", "goose", build_goose, ("goose",), _AGENT, needs_tools=True),
    Tool("crush", "Crush", build_crush, ("crush",), _AGENT, needs_tools=True),
    Tool("copilot", "VS Code, Copilot's own-key models", build_copilot, ("code", "code-insiders"), _AGENT, True),
    Tool("zed", "Zed", build_zed, ("zed", "zeditor"), _EDITOR),
    Tool("jetbrains", "JetBrains AI Assistant", build_jetbrains, ("idea", "pycharm"), _EDITOR),
    Tool("cursor", "Cursor", build_cursor, ("cursor",), obstacle="its servers ask, and reach no private address"),
    Tool("open-webui", "Open WebUI", build_open_webui, ("open-webui",)),
    Tool("librechat", "LibreChat", build_librechat),
    Tool("llm", "llm", build_llm, ("llm",)),
    Tool("promptfoo", "promptfoo", build_promptfoo, ("promptfoo",)),
    Tool("curl", "curl", build_curl, ("curl",)),
    Tool("openai-python", "OpenAI SDK, Python", build_openai_python),
    Tool("anthropic-python", "Anthropic SDK, Python", build_anthropic_python),
    Tool("openai-node", "OpenAI SDK, Node", build_openai_node),
    Tool("anthropic-node", "Anthropic SDK, Node", build_anthropic_node),
    Tool("langchain", "LangChain", build_langchain),
    Tool("langgraph", "LangGraph", build_langgraph, needs_tools=True),
    Tool("llamaindex", "LlamaIndex", build_llamaindex),
    Tool("ai-sdk", "Vercel AI SDK", build_ai_sdk),
    Tool("litellm", "LiteLLM SDK", build_litellm),
)
# The day on which the documentation of those that nobody tried was read.
_READ_ON = "2026-11-29"


def _complete(tool: Tool) -> Tool:
    version, day = VERIFIED.get(tool.name, ("", _READ_ON))
    return replace(tool, shapes=_SHAPES.get(tool.name, ()), checked=version, checked_on=day)


TOOLS = {tool.name: _complete(tool) for tool in _KNOWN}
