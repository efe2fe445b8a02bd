"""Text at every place of a site that takes free text, chosen to break quoting."""

from __future__ import annotations

import sys
from pathlib import Path

import yaml
from hypothesis import strategies as st

from tests.fakes import CHECKOUT, World, write_env

# Whatever a person can put into a file: no NUL, which no program's argument can hold, and no lone surrogate.
TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=40)

HOSTILE = [
    'say "hi"',
    "it's",
    "''",
    "a: b",
    "a #b",
    "a ;b",
    "; x",
    "#x",
    "$HOME ${NOT} $$",
    "100% %(ENV_HOME)s %%",
    "back\\slash\\n",
    "two\nlines",
    "\ttab\r",
    " spaces ",
    "no",
    "1.10",
    "~",
    "{{ x }} {% y %}",
    "한글 모델 😀",
    "\x7f\x85\u2028\ufeff\ufffe",
    "--flag=",
    "a,b=c",
]


def build_hostile_world(text: str, site: Path = Path("/site")) -> World:
    """A site with this text at every place that takes free text."""
    stack = {
        "models": {"extra": {"file": "e.gguf", "arguments": [text]}},
        "providers": {
            text: {
                "kind": "openai-compatible",
                "api_base": f"http://host/{''.join(text.split()) or 'x'}",
                "headers": {"X-Tenant": "KEY"},
                "models": {"remote": {"model": text}},
            }
        },
    }
    world = World(write_env(EMBEDDING_MODEL="none", KEY="planted"), yaml.safe_dump(stack), site)
    world.environment = {"CHAT_MODEL": f"{text}.gguf", "MODELS_DIR": text, "INFERENCE_IMAGE": text}
    world.python = sys.executable
    world.launcher = CHECKOUT / "stackctl" / "programs" / "launch.py"
    return world
