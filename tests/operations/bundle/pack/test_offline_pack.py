"""Packing with a fake world: what travels in a bundle."""

from __future__ import annotations

from pathlib import Path

from stackctl.core.images.oci import OCI_CONFIG, OCI_LAYER
from tests.fakes import SITE, raised_by
from tests.operations.bundle.pack.packer import Packer, hash_text, set_env


def test_the_memory_of_the_packing_machine_leaves_no_trace(packer: Packer) -> None:
    """With much of it the engines get a prompt cache, which the site's own memory decides."""
    rendered = []
    for size in (0, 16 << 30, 1 << 50):
        packer.world.memory_bytes = size
        packer.pack(dry_run=False)
        rendered.append(packer.texts["rendered/compose.p1.yml"])
    assert "LLAMA_ARG_CACHE_RAM" in rendered[0]
    assert rendered[0] == rendered[1] == rendered[2]


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


def test_images_are_named_by_what_they_are_for(packer: Packer) -> None:
    set_env(packer, GATEWAY_IMAGE="r.example/one:1", INFERENCE_IMAGE="r.example/one:1")
    images = packer.pack().manifest.images
    assert [image.uses for image in images] == [("api-gateway", "inference.none")]
    assert {blob.media_type for blob in images[0].blobs} >= {OCI_CONFIG, OCI_LAYER}


def test_what_other_tools_names_say_of_this_site_changes_nothing_that_is_packed(packer: Packer) -> None:
    from tests.operations.site.test_named_site import PRODUCTION

    first = packer.pack().manifest
    packer.world.files[SITE / ".env"] += (
        PRODUCTION + "MYCODER_OPENAI_BASE_URL=http://10.9.9.9/v1\nMYCODER_CHAT_MODEL=m\nLLM_DEBUG=1\n"
    )
    assert packer.pack().manifest == first
    packed = "".join(packer.texts.values())
    assert not [
        word for word in ("planted", "company.com", "10.9.9.9", "INTERNAL_LLM", "engine-chat") if word in packed
    ]


def test_how_requests_for_local_chat_are_treated_travels(packer: Packer) -> None:
    packer.world.files[SITE / ".env"] += "LLM_TIMEOUT=60\nLLM_TEMPERATURE=0.7\n"
    packer.pack()
    assert "LLM_TIMEOUT=60\nLLM_TEMPERATURE=0.7\n" in packer.texts["config/settings.env"]
    config = packer.texts["rendered/config.p1.yaml"]
    assert "deadline_s: 60.0" in config
    assert "temperature" in config


def test_a_secret_under_another_tool_s_name_is_looked_for_in_what_is_packed(packer: Packer) -> None:
    packer.world.files[SITE / ".env"] += "INTERNAL_LLM_TICKET=planted-ticket\n"
    packer.world.files[SITE / "stack.yml"] = "version: 1  # planted-ticket\n"
    assert "contains the value of INTERNAL_LLM_TICKET" in str(raised_by(packer.pack))
