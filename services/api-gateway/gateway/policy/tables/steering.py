"""Fields that steer whoever serves the request instead of saying what is asked. Never taken, whatever their value.

Most are instructions to LiteLLM or to a router, which software takes from a request's body where nobody keeps it from
doing so: where to send the request, with which key, what to answer instead of asking the model.
"""

from __future__ import annotations

from gateway.policy.tables.field import Field, never

_WHERE = "where a request goes, and with which key, is the operator's to say"
_TRIES = "retries, time-outs and fallbacks are the operator's to set"
_RECORD = "what is logged, counted and cached is the operator's to set"
_ENGINE = "how the engine runs is the operator's to set"
_TEMPLATE = "the engine's own chat template sets it"

_REASONS = {
    _WHERE: (
        *("api_base", "api_key", "api_version", "aws_access_key_id", "aws_region_name", "aws_secret_access_key"),
        *("azure_ad_token", "base_url", "client", "client_id", "client_secret", "custom_llm_provider", "deployment_id"),
        *("extra_headers", "extra_query", "headers", "hf_model_name", "input_cost_per_token", "model_info"),
        *("model_list", "models", "organization", "output_cost_per_token", "provider", "provider_specific_header"),
        *("proxy_server_request", "route", "router_settings", "secret_fields", "specific_deployment", "user_config"),
        *("vertex_credentials", "vertex_location", "vertex_project"),
    ),
    _TRIES: (
        *("allowed_fails", "context_window_fallback_dict", "context_window_fallbacks", "cooldown_time"),
        *("disable_fallbacks", "fallbacks", "force_timeout", "max_retries", "num_retries", "request_timeout"),
        *("retry_policy", "retry_strategy", "rpm", "stream_timeout", "timeout", "tpm"),
    ),
    _RECORD: (
        *("budget_id", "cache", "cache_key", "caching", "callbacks", "failure_callback", "fallback_credit_token"),
        *("guardrails", "guardrail_config", "langfuse_prompt_version", "logger_fn", "no-log", "no_log", "prompt_id"),
        *("prompt_variables", "prompt_version", "success_callback", "tags", "ttl", "turn_off_message_logging"),
        *("user_api_key_hash", "billing_policy"),
    ),
    _ENGINE: (
        *("backend_sampling", "ec_transfer_params", "id_slot", "kv_transfer_params", "lora", "media_io_kwargs"),
        *(
            "mm_payload",
            "mm_processor_kwargs",
            "n_cmpl",
            "num_ctx",
            "num_gpu",
            "num_thread",
            "priority",
            "prompt_embeds",
        ),
        *("return_mm_kwargs", "routed_experts_prompt_start", "slot_id", "speculative", "vllm_xargs"),
    ),
    _TEMPLATE: (
        *("chat_format", "chat_parser", "chat_template", "generation_prompt", "grammar_lazy", "grammar_triggers"),
        *("grammar_type", "message_delimiters", "parse_tool_calls", "preserved_tokens", "reasoning_budget_end_tag"),
        *("reasoning_budget_end_tags", "reasoning_budget_start_tag", "reasoning_control"),
    ),
}

STEERING: tuple[Field, ...] = (
    *(never(name, why) for why, names in _REASONS.items() for name in names),
    never("extra_body", "an SDK puts its contents beside the other fields; send them there"),
    never("response_fields", "an answer has the fields of its format"),
    never("verbose", "what an engine says of itself is for its operator"),
    never("request_id", "send it as the header 'x-request-id'"),
)
# LiteLLM reads whatever begins so.
STEERING_PREFIXES = ("litellm_", "mock_", "aws_", "azure_", "vertex_", "watsonx_", "langfuse_", "speculative.")
PREFIX_REASON = _WHERE
