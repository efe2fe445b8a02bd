"""The fields of OpenAI's formats, and of reranking, which has OpenAI's form by custom."""

from __future__ import annotations

from gateway.policy.tables.field import Field, Treatment, build_table, known_to, left_out, never, passed, refused
from gateway.policy.tables.servers import SAMPLING, TEMPLATE
from gateway.policy.tables.steering import STEERING

_NOT_ANTHROPIC = ("llama.cpp", "vllm", "openai")
_NOT_KEPT = "answers are neither kept nor listed here, and no provider is asked to keep them"

# Where a model writes: chats and texts.
_WRITING = (
    passed("model", "text", "the route", required=True),
    passed("stream", "truth value", "piece by piece"),
    passed("stream_options", "object", "usage at the end of a stream"),
    passed("max_tokens", "whole number", "most tokens of the answer"),
    passed("temperature", "number", "sampling"),
    passed("top_p", "number", "sampling"),
    passed("frequency_penalty", "number", "sampling"),
    passed("presence_penalty", "number", "sampling"),
    passed("seed", "whole number", "sampling"),
    passed("stop", "text or list", "texts that end the answer"),
    passed("n", "whole number", "number of answers; each takes a slot"),
    passed("user", "text", "who asks, for a provider"),
    known_to(_NOT_ANTHROPIC, "logit_bias", "object or list", "sampling"),
    Field("n_predict", "whole number", Treatment.PASSED, "llama.cpp's max_tokens", stands_for="max_tokens"),
)
# What only OpenAI's service acts on; without effect elsewhere.
_SERVICE = (
    passed("prompt_cache_key", "text", "finds OpenAI's cache again"),
    passed("safety_identifier", "text", "who asks, for OpenAI"),
    left_out("prompt_cache_options", "object", "what a provider keeps is the operator's to set"),
    left_out("prompt_cache_retention", "text", "what a provider keeps is the operator's to set"),
    left_out("service_tier", "text", "price and place at a provider are the operator's to set"),
    left_out("store", "truth value", _NOT_KEPT),
    left_out("metadata", "object", f"labels of what is kept; {_NOT_KEPT}"),
    refused("moderation", "requests are not moderated here"),
    refused("access_programs", "only a provider's own service has them"),
)

CHAT = build_table(
    STEERING,
    _WRITING,
    (
        passed("messages", "list", "the conversation", required=True),
        passed("max_completion_tokens", "whole number", "most tokens of the answer"),
        passed("tools", "list", "tools of the client's own"),
        passed("tool_choice", "text or object", "which tool"),
        passed("parallel_tool_calls", "truth value", "whether several tools at once"),
        passed("response_format", "object", "the form of the answer"),
        passed("reasoning_effort", "text", "how long the model thinks first"),
        passed("verbosity", "text", "length of the answer, for models that know it"),
        passed("logprobs", "truth value", "probabilities in the answer"),
        passed("top_logprobs", "whole number", "how many of them"),
        passed("prediction", "object", "only makes an answer faster, where it is known"),
        refused("audio", "answers are texts"),
        refused("modalities", "answers are texts", ["text"]),
        refused("functions", "OpenAI has replaced it; send 'tools'"),
        refused("function_call", "OpenAI has replaced it; send 'tool_choice'", "auto", "none"),
        refused("web_search_options", "nothing is searched outside; give the model a tool of yours"),
        refused("echo", "the prompt is not repeated"),
        never("enable_thinking", "send it within 'chat_template_kwargs'"),
        never("think", "send 'reasoning_effort', or 'enable_thinking' within 'chat_template_kwargs'"),
        never("thinking", "send 'reasoning_effort', or 'enable_thinking' within 'chat_template_kwargs'"),
        refused("options", "send what it holds beside the other fields"),
    ),
    _SERVICE,
    SAMPLING,
    TEMPLATE,
)

COMPLETIONS = build_table(
    STEERING,
    _WRITING,
    (
        passed("prompt", "text or list", "what is completed", required=True),
        passed("logprobs", "whole number", "probabilities in the answer"),
        Field("suffix", "text", Treatment.PASSED, "what follows the gap", frozenset({"openai"}), is_binding=True),
        known_to(("vllm", "openai"), "response_format", "object", "the form of the answer", binding=True),
        refused("best_of", "every answer is sent; ask for 'n'", 1),
        refused("echo", "the prompt is not repeated"),
    ),
    SAMPLING,
)

EMBEDDINGS = build_table(
    STEERING,
    (
        passed("model", "text", "the route", required=True),
        passed("input", "text or list", "what is embedded", required=True),
        passed("dimensions", "whole number", "must be what the model has"),
        passed("encoding_format", "text", "numbers or base64"),
        passed("user", "text", "who asks, for a provider"),
        known_to(("llama.cpp",), "embd_normalize", "whole number", "norm of the vectors", binding=True),
        known_to(("vllm",), "truncate_prompt_tokens", "whole number", "cut long inputs", binding=True),
        known_to(("vllm",), "add_special_tokens", "truth value", "tokens that the model expects"),
        left_out("keep_alive", "", "models stay loaded"),
    ),
)

RERANK = build_table(
    STEERING,
    (
        passed("model", "text", "the route", required=True),
        passed("query", "text", "what is looked for", required=True),
        passed("documents", "list", "what is put in order", required=True),
        passed("top_n", "whole number", "how many are answered"),
        passed("user", "text", "who asks, for a provider"),
        known_to(("vllm",), "truncate_prompt_tokens", "whole number", "cut long documents", binding=True),
        passed("return_documents", "truth value", "whether each result repeats its document"),
        refused("return_text", "send 'return_documents'"),
        left_out("keep_alive", "", "models stay loaded"),
    ),
)

RESPONSES = build_table(
    STEERING,
    (
        passed("model", "text", "the route", required=True),
        passed("input", "text or list", "the conversation"),
        passed("instructions", "text", "the instructions"),
        passed("max_output_tokens", "whole number", "most tokens of the answer"),
        passed("stream", "truth value", "piece by piece"),
        passed("temperature", "number", "sampling"),
        passed("top_p", "number", "sampling"),
        passed("top_logprobs", "whole number", "probabilities in the answer"),
        passed("text", "object", "the form of the answer"),
        passed("reasoning", "object", "how long the model thinks first"),
        passed("include", "list", "what else the answer holds"),
        passed("tools", "list", "tools of the client's own"),
        passed("tool_choice", "text or object", "which tool"),
        passed("parallel_tool_calls", "truth value", "whether several tools at once"),
        passed("metadata", "object", "repeated in the answer"),
        passed("store", "truth value", "accepted; nothing is kept, as the answer says"),
        passed("truncation", "text", "accepted; what is too long is refused all the same"),
        passed("user", "text", "who asks, for a provider"),
        # What depends on something that was kept: refused by the conversion, in its own words.
        passed("background", "truth value", "refused when true: nothing is kept"),
        passed("conversation", "text or object", "refused: nothing is kept"),
        passed("previous_response_id", "text", "refused: nothing is kept"),
        passed("prompt", "object", "refused: nothing is kept"),
        left_out("max_tool_calls", "whole number", "counts a provider's own tools, and there are none"),
        left_out("stream_options", "object", "whether events are padded against eavesdropping"),
        left_out("context_management", "list or object", "a conversation that is too long is refused, not shortened"),
        left_out("client_metadata", "object", "Codex's word on itself"),
        refused("image", "only a provider's own service has them"),
        refused("personality", "only a provider's own service has them"),
    ),
    _SERVICE,
    SAMPLING,
    TEMPLATE,
)
