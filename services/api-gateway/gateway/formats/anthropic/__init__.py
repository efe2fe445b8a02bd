"""Anthropic's Messages format as that of a server, for clients of any other. Pure but for importing LiteLLM.

``AnthropicDialect`` makes one chat completion's body one of ``POST /v1/messages`` with LiteLLM's ``AnthropicConfig``,
which knows what each model takes, and reads the events of the answer itself.
"""

from gateway.formats.anthropic.chunks import AnthropicChunks
from gateway.formats.anthropic.dialect import AnthropicDialect

__all__ = ["AnthropicChunks", "AnthropicDialect"]
