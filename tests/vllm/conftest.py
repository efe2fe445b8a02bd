"""A site whose chat model vLLM serves, on this machine's CPU: ``make test-vllm``."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.stack_site import Site
from tests.vllm.environment import find_program

WANTED = "STACK_TEST_VLLM"
START_TIMEOUT_S = 900
STACK = """version: 1
models:
  local-chat:
    file: tiny
    engine: vllm
    context_length: 1024
    slots: 4
    # Without it PyTorch compiles the model, which takes minutes on a CPU.
    arguments: [--enforce-eager]
"""


@pytest.fixture(scope="session")
def program() -> Path:
    """The ``vllm`` program; skips where nobody asked for these tests, or it is not installed."""
    if WANTED not in os.environ:
        pytest.skip("vLLM is 3 GB and its start half a minute: 'make test-vllm' installs it and runs this")
    found = find_program()
    if found is None:
        pytest.skip("vLLM for CPUs is not installed here: run 'python -m tests.vllm.environment'")
    return found


@pytest.fixture(scope="session")
def tiny_model(program: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Hugging Face folder that transformers wrote: a Llama of two layers with random weights."""
    folder = tmp_path_factory.mktemp("models") / "tiny"
    script = Path(__file__).with_name("tiny_llama.py")
    subprocess.run([program.with_name("python"), script, folder], check=True, capture_output=True)
    return folder


@pytest.fixture(scope="session")
def site(program: Path, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site in which the model lies, and that is not started."""
    site = Site.create(
        tmp_path_factory.mktemp("a vllm site"), EMBEDDING_MODEL="none", VLLM_PROGRAM=str(program), STACK_GPU="none"
    )
    (site.path / "stack.yml").write_text(STACK, encoding="utf-8")
    shutil.copytree(tiny_model, site.path / "models" / "tiny")
    try:
        yield site
    finally:
        site.stop()


def start(site: Site) -> None:
    """Bring the stack up, however busy the machine is: vLLM imports PyTorch in each of its processes."""
    up = site.spawn("up")
    code = up.process.wait(START_TIMEOUT_S)
    assert code == 0, up.read()


@pytest.fixture(scope="session")
def running(site: Site) -> Site:
    """The same site, started."""
    start(site)
    return site
