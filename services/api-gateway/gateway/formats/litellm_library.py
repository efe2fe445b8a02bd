"""LiteLLM as a library: import it without its looking anything up, and give out the parts that are used. Does I/O.

Whichever module of LiteLLM is asked for, Python runs the whole package first: two seconds of CPU and 150 MB, in pieces
that stop a running event loop for up to half a second. So ``load`` is called before the listener opens, and only where
a configured provider needs a conversion of LiteLLM's; see docs/decisions/litellm-as-a-library.md.
"""

from __future__ import annotations

import gc
import logging
import os
import warnings
from dataclasses import dataclass
from functools import cache
from typing import Any

# LiteLLM looks for an .env file, newer prices, headers, posts and tokenizers; at a cut-off site each would wait for a
# time-out, and none of it may come from outside.
OFFLINE_ENVIRONMENT = {
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_OFFLINE": "1",
    "LITELLM_DISABLE_LATEST_RELEASE_CHECK": "true",
    "LITELLM_LOCAL_ANTHROPIC_BETA_HEADERS": "True",
    "LITELLM_LOCAL_AUTOROUTER_PRESETS": "True",
    "LITELLM_LOCAL_BLOG_POSTS": "True",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LITELLM_LOCAL_POLICY_TEMPLATES": "true",
    "LITELLM_MODE": "PRODUCTION",
    "LITELLM_OFFLINE_MODE": "true",
    "LITELLM_TELEMETRY_DISABLED": "true",
}
_LOGGERS = ("LiteLLM", "LiteLLM Router", "LiteLLM Proxy")


@dataclass(frozen=True, slots=True)
class AnthropicParts:
    """What of LiteLLM the conversion to Anthropic's format uses.

    Attributes:
        config: makes a chat request one of Anthropic's; ``AnthropicConfig``.
        names_key: where it leaves the tools that it had to rename, by the new name.
        json_tool: name of the tool that stands for a response format where a model knows none.
    """

    config: Any
    names_key: str
    json_tool: str


@cache
def load() -> AnthropicParts:
    """Import LiteLLM, once. Takes seconds; a later call takes nothing.

    Garbage is not collected meanwhile, a fifth of the time, and what is loaded is left out of later collections, which
    also keeps its memory shared between forked workers.
    """
    os.environ.update(OFFLINE_ENVIRONMENT)
    _silence()
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of how it uses pydantic; nothing for an operator
            import litellm
            from litellm.constants import RESPONSE_FORMAT_TOOL_NAME
            from litellm.llms.anthropic.chat.transformation import ANTHROPIC_TOOL_NAME_REVERSE_MAP_KEY, AnthropicConfig
    finally:
        if was_enabled:
            gc.enable()
    gc.freeze()
    litellm.suppress_debug_info = True  # prints its address for every model that it does not know, otherwise
    _silence()  # once more, since LiteLLM sets up its loggers itself
    return AnthropicParts(AnthropicConfig, ANTHROPIC_TOOL_NAME_REVERSE_MAP_KEY, RESPONSE_FORMAT_TOOL_NAME)


def _silence() -> None:
    """Let LiteLLM log nothing: its messages may hold prompts, and what fails is told by the gateway."""
    for name in _LOGGERS:
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
