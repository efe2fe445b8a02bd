"""The fields of Anthropic's Messages. What the conversion to a chat completion refuses, it refuses in its own words."""

from __future__ import annotations

from gateway.policy.tables.field import build_table, left_out, passed, refused
from gateway.policy.tables.servers import SAMPLING, TEMPLATE
from gateway.policy.tables.steering import STEERING

_OWN = (
    passed("model", "text", "the route", required=True),
    passed("messages", "list", "the conversation", required=True),
    passed("max_tokens", "whole number", "most tokens of the answer"),
    passed("system", "text or list", "the instructions"),
    passed("tools", "list", "tools of the client's own"),
    passed("tool_choice", "object", "which tool"),
    passed("thinking", "object", "whether the model thinks first"),
    passed("output_config", "object", "effort, and the form of the answer"),
    passed("output_format", "object", "the form of the answer, under its earlier name"),
    passed("stop_sequences", "list", "texts that end the answer"),
    passed("stream", "truth value", "piece by piece"),
    passed("temperature", "number", "sampling"),
    passed("top_p", "number", "sampling"),
    passed("top_k", "whole number", "sampling"),
    passed("context_management", "object", "edits that spare tokens; a compaction is refused"),
    passed("cache_control", "object", "what Anthropic caches; elsewhere without effect"),
    passed("container", "text or object", "for Anthropic's own tools; refused elsewhere"),
    passed("mcp_servers", "list", "for Anthropic to connect; refused elsewhere"),
    passed("metadata", "object", "who asks, for Anthropic; goes nowhere else"),
    passed("diagnostics", "object", "why Anthropic's cache missed; elsewhere without effect"),
    left_out("betas", "list", "the SDK sends it as the header 'anthropic-beta', which is passed"),
    left_out("stream_options", "object", "usage stands in every stream of this format"),
    left_out("service_tier", "text", "price and place at a provider are the operator's to set"),
    left_out("speed", "text", "price and place at a provider are the operator's to set"),
    left_out("user_profile_id", "text", "the gateway's account at a provider is used"),
    left_out("workspace_id", "text", "the gateway's account at a provider is used"),
    refused("inference_geo", "the place of inference is the operator's to set"),
    refused("compaction", "conversations are not compacted here"),
    refused("thread", "conversations are not stored here; send the earlier messages"),
)

MESSAGES = build_table(_OWN, STEERING, SAMPLING, TEMPLATE)
