"""The demo model under other chat templates, with which it really calls tools, or thinks before it answers.

llama.cpp learns from a template how a model's calls and thoughts begin and end. Here these marks are what the demo
model says by itself: it answers "pong" to "ping", which begins a call whose JSON llama.cpp's grammar then enforces;
and "#include <stdio.h>" to the question for C, whose second word ends the thought. Does I/O: writes a GGUF file.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]

TOOL_QUESTION, THINKING_QUESTION = "ping", "Write hello world in C"

TOOLS = """
{%- if messages[0].role == 'system' or tools %}
    {{- '<|im_start|>system\\n' }}
    {%- if messages[0].role == 'system' %}{{- messages[0].content }}{%- endif %}
    {%- if tools %}
        {{- 'Tools:' }}
        {%- for tool in tools %}{{- '\\n' + tool | tojson }}{%- endfor %}
    {%- endif %}
    {{- '<|im_end|>\\n' }}
{%- endif %}
{%- for message in messages if message.role != 'system' %}
    {{- '<|im_start|>' + ('assistant' if message.role == 'assistant' else 'user') + '\\n' }}
    {%- if message.content %}{{- message.content }}{%- endif %}
    {%- for call in message.tool_calls or [] %}
        {{- 'pong{"name": "' + call.function.name + '", "arguments": ' }}
        {{- call.function.arguments | tojson }}
        {{- '}.' }}
    {%- endfor %}
    {{- '<|im_end|>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}
"""

THINKING = """
{%- for message in messages %}
    {{- '<|im_start|>' + message.role + '\\n' }}
    {%- if message.reasoning_content %}{{- message.reasoning_content + '<stdio.h>' }}{%- endif %}
    {%- if message.content %}{{- message.content }}{%- endif %}
    {{- '<|im_end|>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}
"""


def write_demo_model(path: Path, template: str) -> Path:
    """The demo model with this chat template."""
    source = REPOSITORY / "models" / "demo.gguf"
    command = [sys.executable, "-m", "gguf.scripts.gguf_new_metadata", "--chat-template", template]
    subprocess.run([*command, str(source), str(path)], capture_output=True, check=True)
    return path
