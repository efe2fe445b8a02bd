"""Other gateways in front of the same engine, for the same load: LiteLLM's own proxy and Portkey's."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stackctl.adapters.files.site_files import find_cache_dir
from stackctl.adapters.process.environments import find_environment, make_environment
from tests.bench.load import Target
from tests.bench.services import run_service
from tests.ports import claim_ports

LOCK = Path(__file__).resolve().parents[1] / "litellm_proxy" / "requirements.lock"
PORTKEY = "@portkey-ai/gateway@1.15.2"
KEY = "sk-bench-key"


@contextmanager
def run_litellm(engine: Target, model: str, folder: Path) -> Iterator[Target]:
    """LiteLLM's proxy as it comes, in the version that the gateway is locked to."""
    environment = find_environment(find_cache_dir(os.environ), LOCK, {})
    make_environment(environment, LOCK, {}, "", lambda text: print(text, file=sys.stderr))
    config = folder / "litellm.yaml"
    config.write_text(
        f"model_list:\n  - model_name: {model}\n    litellm_params:\n      model: hosted_vllm/{model}\n"
        f"      api_base: http://127.0.0.1:{engine.port}/v1\n      api_key: {engine.key}\n"
        f"general_settings:\n  master_key: {KEY}\n"
    )
    port = claim_ports()[0]
    argv = (str(environment / "bin" / "litellm"), "--config", str(config), "--host", "127.0.0.1", "--port", str(port))
    variables = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_MODE": "PRODUCTION", "NO_DOCS": "True"}
    with run_service(argv, variables, f"http://127.0.0.1:{port}/health/liveliness", folder):
        yield Target(port, KEY)


@contextmanager
def run_portkey(engine: Target, folder: Path) -> Iterator[Target | None]:
    """Portkey's gateway; None where npm is absent."""
    npm, node = shutil.which("npm"), shutil.which("node")
    if not npm or not node:
        yield None
        return
    home = find_cache_dir(os.environ) / "bench" / "portkey"
    script = home / "node_modules/@portkey-ai/gateway/build/start-server.js"
    if not script.is_file():
        home.mkdir(parents=True, exist_ok=True)
        subprocess.run([npm, "install", "--no-audit", "--no-fund", "--prefix", str(home), PORTKEY],
                       check=True, stdout=subprocess.DEVNULL)  # fmt: skip
    port = claim_ports()[0]
    headers = {"x-portkey-provider": "openai", "x-portkey-custom-host": f"http://127.0.0.1:{engine.port}/v1"}
    argv = (node, str(script), f"--port={port}", "--headless")
    with run_service(argv, {}, f"http://127.0.0.1:{port}/", folder):
        yield Target(port, engine.key, tuple(headers.items()))
