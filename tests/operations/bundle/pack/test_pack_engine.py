"""Which engine for the process runtime travels in a bundle, and which is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from stackctl.core.bundle.format.manifest import Manifest, PackedEngine
from stackctl.errors import BundleError
from stackctl.operations.bundle.pack.gather_engine import EngineRequest
from tests.operations.bundle.pack.packer import CPU, CUDA, Packer, set_env


def name_engine_files(manifest: Manifest) -> list[str]:
    return [file.path for file in manifest.files if file.path.startswith("engine/")]


def test_a_named_engine_travels_with_what_may_be_passed_on_and_never_with_the_driver(packer: Packer) -> None:
    set_env(packer, STACK_RUNTIME="process", STACK_GPU="nvidia")
    manifest = packer.pack(engine=EngineRequest(Path("/opt/llama-server"))).manifest
    assert name_engine_files(manifest) == ["engine/libcublas.so.12", "engine/libcudart.so.12", "engine/llama-server"]
    assert manifest.engine == PackedEngine(
        path="engine/llama-server",
        title="llama-server 6924 (e60f241e) for NVIDIA GPUs",
        gpu="nvidia",
        glibc="2.34",
        driver="525.60.13",
    )
    assert packer.world.engines.asked == ["/opt/llama-server"]
    licences, sbom = packer.texts["licences.txt"], json.loads(packer.texts["sbom.cdx.json"])
    assert "libcudart.so.12\n    licence: NVIDIA CUDA Toolkit EULA" in licences
    assert {"llama-server", "libcublas.so.12"} <= {item["name"] for item in sbom["components"]}
    assert "libcuda.so.1" not in licences
    assert [finding.message.partition(" ")[0] for finding in packer.warnings] == ["libcurl.so.4"]


@pytest.mark.parametrize("devices", [(), ("Vulkan0: llvmpipe (8192 MiB, 8192 MiB free)",)])
def test_an_engine_that_finds_no_gpu_here_travels_with_a_warning(packer: Packer, devices: tuple[str, ...]) -> None:
    set_env(packer, STACK_RUNTIME="process", STACK_GPU="nvidia")
    packer.engine = replace(CUDA, devices=devices)
    packer.pack(engine=EngineRequest(Path("/opt/llama-server")))
    told = packer.warnings[0].message
    assert told == "/opt/llama-server is built for an NVIDIA GPU and finds none here: it was not tried on one"


def test_a_gpu_s_stack_with_a_cpu_s_engine_is_refused_unless_told_so(packer: Packer) -> None:
    set_env(packer, STACK_RUNTIME="process", STACK_GPU="nvidia")
    with pytest.raises(BundleError, match=r"an NVIDIA GPU, and the only engine here is built for the CPU") as caught:
        packer.pack()
    assert "--engine FILE" in caught.value.hint
    assert "--allow-cpu-engine" in caught.value.hint
    packer.engine = CPU
    with pytest.raises(BundleError, match=r"/opt/llama-server is built for the CPU"):
        packer.pack(engine=EngineRequest(Path("/opt/llama-server")))
    assert not packer.bundles
    assert name_engine_files(packer.pack(engine=EngineRequest(allow_cpu=True)).manifest) == []
    told = packer.pack(engine=EngineRequest(Path("/opt/llama-server"), allow_cpu=True)).manifest
    assert name_engine_files(told) == ["engine/llama-server"]


def test_the_engine_that_serves_here_travels_where_the_site_s_gpu_needs_it(packer: Packer) -> None:
    set_env(packer, STACK_RUNTIME="process", STACK_GPU="nvidia")
    packer.world.programs["llama-server"] = "/usr/bin/llama-server"
    manifest = packer.pack().manifest
    assert manifest.engine is not None
    assert packer.world.engines.asked == ["/usr/bin/llama-server"]
    set_env(packer, STACK_RUNTIME="process")
    assert packer.pack().manifest.engine is None


def test_an_engine_that_does_not_answer_is_not_packed(packer: Packer) -> None:
    set_env(packer, STACK_RUNTIME="process")
    packer.world.engines.failures["/opt/llama-server"] = "died of SIGSEGV in ggml_cuda_init"
    with pytest.raises(BundleError, match=r"/opt/llama-server died of SIGSEGV in ggml_cuda_init"):
        packer.pack(engine=EngineRequest(Path("/opt/llama-server")))
    assert not packer.bundles


def test_an_engine_without_the_runtime_that_starts_it_is_refused(packer: Packer) -> None:
    with pytest.raises(BundleError, match="which is not packed") as caught:
        packer.pack(engine=EngineRequest(Path("/opt/llama-server")))
    assert "--include-process-runtime" in caught.value.hint
