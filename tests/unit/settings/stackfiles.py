"""A `stack.yml` that says all it may, and what is wrong with another."""

from __future__ import annotations

from hypothesis import strategies as st

from stackctl.core.settings.stackfile_reader import parse_stackfile
from stackctl.errors import ConfigError
from tests.fakes import raised_by

FULL = """\
version: 1
models:
  local-review: {file: r.gguf, mode: chat, context_length: 8192, slots: 2, gpu_layers: -1, arguments: ["--temp", "0"]}
providers:
  openai:
    kind: openai
    api_key: OPENAI_API_KEY
    headers: {X-Tenant: TENANT}
    models:
      gpt: {model: gpt-4o, mode: chat, context_length: 128000}
  ollama:
    kind: ollama
    api_base: http://localhost:11434
    models: {llama: {model: "llama3:8b"}}
  company:
    kind: internal
    api_base: https://llm.company.example/v1
    api_key: COMPANY_KEY
    ticket: TICKET
    user_id: WHO
    user_type: WHO_TYPE
    header_names: {ticket: X-Ticket, user_id: X-User, user_type: X-User-Type}
    local: true
    proxied: false
    timeouts: {connect: 0.5, first_token: 30, between_tokens: 10, whole: 90}
    models: {house: {model: house}}
routes:
  local-review:
    targets: [house]
    fallbacks: [gpt]
    retries: 0
    deadline: 60
    local_only: false
    defaults: {temperature: 0.2, top_p: 1, max_tokens: 1024, presence_penalty: -2, frequency_penalty: 0.5}
aliases:
  claude-*: local-review
limits:
  retries: 1
  models:
    gpt: {requests_per_minute: 60, tokens_per_minute: 1000, parallel_requests: 2}
"""

# What a mistake may be in the place of any value.
scalars = st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=5) | st.floats()


def find_problems(text: str) -> list[tuple[int, str, str, str]]:
    """Line, subject, message and hint of everything that is wrong with a text."""
    error = raised_by(lambda: parse_stackfile(text))
    assert isinstance(error, ConfigError)
    assert error.exit_code == 3
    return [(item.line, item.subject, item.message, item.hint) for item in error.findings]
