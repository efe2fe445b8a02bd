"""A stack with vLLM in a bundle: its folder, its image, and what the bundle does not bring."""

from __future__ import annotations

from dataclasses import replace

import pytest
import yaml

from stackctl.core.machine.gpu import Gpu
from stackctl.core.stack.names import COMPOSE_FILE
from tests.fakes import DOCKER, SITE
from tests.operations.bundle.pack.packer import Packer, set_env

STACK = "version: 1\nmodels:\n  local-chat: {file: Qwen3-8B, engine: vllm}\n"


@pytest.fixture
def vllm_packer(packer: Packer) -> Packer:
    """A packer of a stack that vLLM alone serves."""
    set_env(packer, EMBEDDING_MODEL="none", STACK_GPU="nvidia", STACK_RUNTIME="compose")
    packer.world.files[SITE / "stack.yml"] = STACK
    packer.world.host = replace(
        packer.world.host, docker=replace(DOCKER, runtimes=frozenset({"nvidia"})), gpus=(Gpu("nvidia", 0, "H100"),)
    )
    return packer


def test_every_file_of_the_folder_travels_with_its_digest(vllm_packer: Packer) -> None:
    (model,) = vllm_packer.pack().manifest.models
    assert [file.path for file in model.files] == [
        "config.json",
        "model-00001-of-00002.safetensors",
        "model-00002-of-00002.safetensors",
        "model.safetensors.index.json",
        "tokenizer.json",
    ]
    assert len({file.sha256 for file in model.files}) == 5
    assert model.served_names == ("local-chat",)


def test_vllm_s_image_travels_and_no_engine_that_nothing_needs(vllm_packer: Packer) -> None:
    images = {image.uses: image.reference for image in vllm_packer.pack().manifest.images}
    assert images[("vllm.nvidia",)] == "docker.io/vllm/vllm-openai:v0.32.0"
    assert set(images) == {("api-gateway",), ("vllm.nvidia",)}


def test_an_engine_of_llama_cpp_beside_it_travels_too(vllm_packer: Packer) -> None:
    vllm_packer.world.files[SITE / "stack.yml"] = STACK + "  local-code: {file: coder.gguf}\n"
    uses = {image.uses for image in vllm_packer.pack().manifest.images}
    assert uses == {("api-gateway",), ("inference.nvidia",), ("vllm.nvidia",)}


def test_the_rendered_project_has_the_store_s_paths_and_the_image_s_alias(vllm_packer: Packer) -> None:
    manifest = vllm_packer.pack().manifest
    project = yaml.safe_load(vllm_packer.texts[f"rendered/{COMPOSE_FILE}"])
    engine = project["services"]["inference-chat"]
    digest = manifest.models[0].digest[:16]
    assert engine["image"] == next(image.alias for image in manifest.images if image.uses == ("vllm.nvidia",))
    assert engine["command"][0] == f"/models/{digest}"
    assert {mount["source"] for mount in engine["volumes"]} == {
        f"/site/offline/store/models/{digest}/{file.path}" for file in manifest.models[0].files
    }


def test_who_packs_processes_is_told_that_the_site_needs_a_vllm_of_its_own(vllm_packer: Packer) -> None:
    vllm_packer.pack(with_processes=True)
    assert [item.subject for item in vllm_packer.warnings] == ["vllm"]
    assert "is not in the bundle" in vllm_packer.warnings[0].message


def test_nobody_is_told_so_where_containers_alone_are_packed(vllm_packer: Packer) -> None:
    vllm_packer.pack()
    assert vllm_packer.warnings == []
