"""Packing with a fake world: what a bundle says it holds, what is refused, and when nothing is written."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from stackctl.core.bundle.format.chunks import FileDigest
from stackctl.core.bundle.format.manifest import Manifest, PackedEngine
from stackctl.core.bundle.pack.engine_files import EngineFacts, Library
from stackctl.core.bundle.pack.packed_versions import PackedVersion
from stackctl.core.bundle.pack.plan import Draft, InMemory, Source
from stackctl.core.bundle.pack.sbom import Component
from stackctl.core.images.oci import OCI_CONFIG, OCI_LAYER, ImageBlob, ImageContent
from stackctl.core.images.oci_documents import build_facts
from stackctl.core.text.progress import Transfer
from stackctl.errors import BundleError, Finding
from stackctl.operations.bundle.pack.effects import PackEffects, PackRequest
from stackctl.operations.bundle.pack.gather import Provenance, Sources
from stackctl.operations.bundle.pack.gather_engine import EngineRequest
from stackctl.operations.bundle.pack.pack import PackResult, run_pack
from tests.fakes import SITE, World, raised_by, write_env
from tests.image_documents import digest, make_config, make_manifest

OUT = Path("/out")
MIB = 1024 * 1024


def hash_text(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def make_image(reference: str) -> ImageContent:
    """An image of one layer, all of it told apart from others' by its name."""
    layer = reference.encode()
    config = make_config(layer)
    manifest = make_manifest(config, layer)
    documents = {digest(config): config, digest(manifest): manifest}
    described = ImageBlob(digest(manifest), len(manifest), "application/vnd.oci.image.manifest.v1+json")
    return ImageContent(build_facts(reference, "registry", None, described, documents), documents)


CUDA = EngineFacts(
    program="/opt/llama-server",
    version="6924 (e60f241e)",
    devices=("CUDA0: NVIDIA H200 (143771 MiB, 143000 MiB free)",),
    libraries=(
        Library("libcublas.so.12", "/usr/local/cuda/lib64/libcublas.so.12"),
        Library("libcuda.so.1", "/usr/lib/libcuda.so.1"),
        Library("libcudart.so.12", "/usr/local/cuda/lib64/libcudart.so.12"),
        Library("libcurl.so.4", "/usr/lib/libcurl.so.4"),
        Library("libstdc++.so.6", "/usr/lib/libstdc++.so.6"),
    ),
    glibc="2.34",
    driver="525.60.13",
)
CPU = replace(CUDA, libraries=(), devices=(), driver="")


@dataclass
class Packer:
    """A pack's world.

    Attributes:
        contents: path of a model to what stands for its content; its name where nothing is said.
        bundles: what lies in the output folder.
        signed: the folders that were asked to be signed.
        has_key: whether bundles are signed.
    """

    world: World
    contents: dict[str, str] = field(default_factory=dict)
    bundles: list[tuple[Path, Manifest]] = field(default_factory=list)
    texts: dict[str, str] = field(default_factory=dict)
    signed: list[Path] = field(default_factory=list)
    architecture: str = "amd64"
    has_key: bool = True
    own_wheel: str = "stackctl"
    source: str = ""
    versions: dict[str, PackedVersion] = field(default_factory=dict)
    engine: EngineFacts = CUDA
    warnings: list[Finding] = field(default_factory=list)

    def hash_model(self, path: Path, count: Callable[[int], None]) -> FileDigest:
        content = hash_text(self.contents.get(str(path), path.name))
        return FileDigest(str(path), 4, content, "stamp", ((0, 4, content),))

    def hash_file(self, path: Path, count: Callable[[int], None]) -> FileDigest:
        content = hash_text(self.own_wheel if path.name.startswith("stackctl-") else path.name)
        return FileDigest(str(path), 4, content, "stamp", ((0, 4, content),))

    def write(
        self, out: Path, draft: Draft, bootstrap: Sequence[tuple[str, bool, int, Source]], transfer: Transfer
    ) -> tuple[Path, Manifest]:
        manifest = draft.seal([hash_text(part.name) for part in draft.parts])
        blobs = {item.blob.sha256: item.blob.source for part in draft.parts for item in part.members}
        sources = {file.path: blobs.get(file.sha256) for file in manifest.files}
        self.texts = {path: src.data.decode() for path, src in sources.items() if isinstance(src, InMemory)}
        self.bundles.append((out / manifest.folder, manifest))
        return self.bundles[-1]

    def sign(self, folder: Path, manifest: Manifest) -> bool:
        self.signed += [folder] if self.has_key else []
        return folder in self.signed

    @property
    def effects(self) -> PackEffects:
        sources = Sources(
            self.hash_model,
            self.hash_file,
            lambda reference, is_local: make_image(reference),
            lambda path, sha256: Provenance(self.source),
        )
        return PackEffects(
            effects=self.world.effects,
            sources=sources,
            architecture=self.architecture,
            collect_wheels=lambda lock, title, pythons, index: (),
            describe_wheel=lambda path, sha256: Component("wheel", path.name, "1", sha256),
            inspect_engine=lambda path: replace(self.engine, program=str(path)),
            warn=self.warnings.append,
            build_own_wheel=lambda: Path("/cache/stackctl-0.1.0-py3-none-any.whl"),
            list_bundles=lambda out: self.bundles,
            find_free_bytes=lambda out: 1 << 40,
            find_partial_bytes=lambda out, draft: 0,
            write_bundle=self.write,
            sign_bundle=self.sign,
            load_versions=lambda: dict(self.versions),
            save_version=self.versions.__setitem__,
        )

    def pack(self, *, dry_run: bool = False, **changes: Any) -> PackResult:
        request = PackRequest(OUT, 100 * MIB, None, None, ("3.11",), False)
        return run_pack(self.effects, replace(request, **changes), dry_run=dry_run)


@pytest.fixture
def packer(world: World) -> Packer:
    return Packer(world)


def set_env(packer: Packer, **values: object) -> None:
    packer.world.files[SITE / ".env"] = write_env(**values)


# The engine of the process runtime


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


def test_the_memory_of_the_packing_machine_leaves_no_trace(packer: Packer) -> None:
    """With much of it the engines get a prompt cache, which the site's own memory decides."""
    rendered = []
    for size in (0, 16 << 30, 1 << 50):
        packer.world.memory_bytes = size
        packer.pack(dry_run=False)
        rendered.append(packer.texts["rendered/compose.p1.yml"])
    assert "LLAMA_ARG_CACHE_RAM" in rendered[0]
    assert rendered[0] == rendered[1] == rendered[2]


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


# What travels


def test_settings_of_this_machine_change_nothing_that_is_packed(packer: Packer) -> None:
    first = packer.pack().manifest
    ports = {"API_GATEWAY_PORT": 18000, "INFERENCE_PORT": 18001}
    set_env(packer, BIND_ADDRESS="10.1.2.3", INFERENCE_THREADS=7, GPU_DEVICES="1", **ports)
    assert packer.pack().manifest == first
    assert "10.1.2.3" not in "".join(packer.texts.values())


def test_where_models_lie_changes_nothing_that_is_packed(packer: Packer) -> None:
    set_env(packer, CHAT_MODEL="/a/chat.gguf", CODE_MODEL="/b/code.gguf", EMBEDDING_MODEL="none")
    first = packer.pack().manifest
    set_env(packer, CHAT_MODEL="/b/chat.gguf", CODE_MODEL="/a/code.gguf", EMBEDDING_MODEL="none")
    assert packer.pack().manifest == first


def test_models_of_one_name_in_two_folders_are_told_apart(packer: Packer) -> None:
    set_env(packer, CHAT_MODEL="/a/model.gguf", CODE_MODEL="/b/model.gguf", EMBEDDING_MODEL="none")
    packer.contents = {"/a/model.gguf": "one", "/b/model.gguf": "another"}
    models = packer.pack().manifest.models
    assert [model.served_names for model in models] == [("local-chat",), ("local-code",)]
    compose = packer.texts["rendered/compose.p1.yml"]
    assert all(f"/site/offline/store/models/{model.digest[:16]}/model.gguf" in compose for model in models)


def test_one_model_in_two_folders_travels_once(packer: Packer) -> None:
    set_env(packer, CHAT_MODEL="/a/model.gguf", CODE_MODEL="/b/model.gguf", EMBEDDING_MODEL="none")
    packer.contents = {"/a/model.gguf": "one", "/b/model.gguf": "one"}
    (model,) = packer.pack().manifest.models
    assert model.served_names == ("local-chat", "local-code")


def test_a_site_that_runs_a_release_packs_that_release(packer: Packer, tmp_path: Path) -> None:
    from tests.operations.site.test_released_site import FILES, install

    install(packer.world, tmp_path)
    manifest = packer.pack().manifest
    assert packer.texts["config/stack.yml"] == FILES["config/stack.yml"].decode()
    assert "INFERENCE_SLOTS=2" in packer.texts["config/settings.env"]
    assert [name for model in manifest.models for name in model.served_names] == ["local-chat", "local-review"]


def test_the_bill_of_materials_has_the_digest_of_the_wheel_that_installs_stackctl(packer: Packer) -> None:
    packer.pack()
    assert hash_text("stackctl") in packer.texts["sbom.cdx.json"]
    assert "pkg:pypi/stackctl" not in packer.texts["sbom.cdx.json"]


def test_the_engine_for_a_gpu_of_the_site_is_packed_where_there_is_none(packer: Packer) -> None:
    assert [image.uses for image in packer.pack().manifest.images] == [("api-gateway",), ("inference.none",)]
    packer.world.flags["STACK_GPU"] = "nvidia"
    images = packer.pack().manifest.images
    assert [image.uses for image in images] == [("api-gateway",), ("inference.nvidia",)]
    assert "cuda" in images[1].reference
    assert "rendered/compose.p1.gpu-nvidia.yml" in packer.texts


# What is refused


def test_names_that_other_systems_do_not_take_are_refused_together(packer: Packer) -> None:
    set_env(packer, CHAT_MODEL=".hidden.gguf", CODE_MODEL="'a\\\\b.gguf'", EMBEDDING_MODEL=f"{'x' * 250}-embed.gguf")
    error = raised_by(packer.pack)
    assert isinstance(error, BundleError)
    assert [finding.subject for finding in error.findings] == ["CHAT_MODEL", "CODE_MODEL", "EMBEDDING_MODEL"]


def test_what_a_reader_would_refuse_is_not_written(packer: Packer) -> None:
    set_env(packer, CHAT_MODEL=f"{'名' * 100}.gguf")
    error = raised_by(packer.pack)
    assert "no bundle that could be read" in error.message
    assert "more than 255 bytes" in error.findings[0].message
    assert packer.bundles == []


def test_a_login_in_a_provider_s_address_does_not_travel(packer: Packer) -> None:
    packer.world.files[SITE / "stack.yml"] = (
        "version: 1\nproviders:\n  lab:\n    kind: vllm\n    api_base: http://ann:s3cret@gpu.example/v1\n"
        "    models: {lab-chat: {model: m}}\n"
    )
    error = raised_by(packer.pack)
    assert {finding.subject for finding in error.findings} >= {"config/stack.yml", "rendered/compose.p1.yml"}
    assert "s3cret" not in str(error)


def test_a_secret_in_what_is_recorded_of_a_model_does_not_travel(packer: Packer) -> None:
    packer.source = "https://hub.example/m.gguf#planted-gateway-key"
    error = raised_by(packer.pack)
    assert [finding.subject for finding in error.findings] == ["sbom.cdx.json", "licences.txt"]


def test_another_kind_of_machine_is_refused_in_words(packer: Packer) -> None:
    packer.architecture = "riscv64"
    assert "This machine is riscv64" in raised_by(packer.pack).message


# When nothing is written


def test_an_unsigned_bundle_is_signed_when_there_is_a_key(packer: Packer) -> None:
    packer.has_key = False
    first = packer.pack()
    assert (first.unchanged, first.is_signed) == (False, False)
    packer.has_key = True
    second = packer.pack()
    assert (second.folder, second.unchanged, second.is_signed) == (first.folder, True, True)


def test_a_dry_run_signs_nothing(packer: Packer) -> None:
    packer.has_key = False
    packer.pack()
    packer.has_key = True
    assert packer.pack(dry_run=True).is_signed is None
    assert packer.signed == []


def test_a_base_that_has_everything_needs_no_delta(packer: Packer) -> None:
    base = packer.pack().manifest
    packer.bundles = []
    result = packer.pack(base=base)
    assert (result.folder, result.unchanged, result.manifest) == (None, True, base)
    assert packer.bundles == []
    assert packer.pack(base=base, version=9).manifest.version == 9


def test_content_of_an_older_bundle_is_said_to_be_older(packer: Packer) -> None:
    first = packer.pack()
    set_env(packer, INFERENCE_SLOTS=2)
    assert packer.pack().manifest.version == 2
    set_env(packer)
    again = packer.pack()
    assert (again.folder, again.newest) == (first.folder, 2)
    assert packer.pack(version=3).manifest.version == 3


def test_versions_go_on_where_every_bundle_goes_to_a_fresh_disk(packer: Packer) -> None:
    first = packer.pack().manifest
    packer.bundles = []
    set_env(packer, INFERENCE_SLOTS=2)
    assert packer.pack().manifest.version == 2
    packer.bundles = []
    set_env(packer)
    later = packer.pack().manifest
    assert (later.version, later.files) == (3, first.files)


def test_the_same_content_on_another_disk_is_the_same_bundle(packer: Packer) -> None:
    first = packer.pack()
    packer.bundles = []
    again = packer.pack()
    assert (again.unchanged, again.manifest) == (False, first.manifest)


def test_a_version_that_was_given_is_remembered_and_a_dry_run_is_not(packer: Packer) -> None:
    packer.pack(version=7, dry_run=True)
    assert packer.versions == {}
    packer.pack(version=7)
    packer.bundles = []
    set_env(packer, INFERENCE_SLOTS=2)
    assert packer.pack().manifest.version == 8


def test_a_version_that_is_given_twice_is_said_to_be_ambiguous(packer: Packer) -> None:
    assert not packer.pack(version=3).is_ambiguous
    set_env(packer, INFERENCE_SLOTS=2)
    assert packer.pack(version=3).is_ambiguous, "the folder has another one"
    packer.bundles = []
    set_env(packer, INFERENCE_SLOTS=3)
    assert packer.pack(version=3).is_ambiguous, "another disk has another one"
    assert not packer.pack(version=4).is_ambiguous


def test_images_are_named_by_what_they_are_for(packer: Packer) -> None:
    set_env(packer, GATEWAY_IMAGE="r.example/one:1", INFERENCE_IMAGE="r.example/one:1")
    images = packer.pack().manifest.images
    assert [image.uses for image in images] == [("api-gateway", "inference.none")]
    assert {blob.media_type for blob in images[0].blobs} >= {OCI_CONFIG, OCI_LAYER}
