"""What cannot travel in a bundle is refused before anything is written."""

from __future__ import annotations

from stackctl.errors import BundleError
from tests.fakes import SITE, raised_by
from tests.operations.bundle.pack.packer import Packer, set_env


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
