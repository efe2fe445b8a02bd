"""What a packed engine is made of and needs: from what ldd says, from bytes, and from a program that a test links."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from stackctl.adapters.bundle import engine_files
from stackctl.adapters.bundle.engine_files import inspect_engine
from stackctl.core.bundle.format.manifest import Manifest, PackedEngine, encode_manifest
from stackctl.core.bundle.format.manifest_reader import check_manifest, parse_manifest
from stackctl.core.bundle.load.checks import Machine, check_machine
from stackctl.core.bundle.pack.engine_files import (
    EngineFacts,
    Library,
    find_glibc,
    find_gpu,
    find_least_driver,
    parse_devices,
    parse_libraries,
    parse_version,
)
from stackctl.errors import BundleError, Severity
from tests.bundle_builder import assemble_bundle

LDD = """\
\tlinux-vdso.so.1 (0x00007ffc)
\tlibcudart.so.12 => /usr/local/cuda/lib64/libcudart.so.12 (0x00007f00)
\tlibcublasLt.so.12 => /a folder/libcublasLt.so.12 (0x00007f01)
\tlibcuda.so.1 => not found
\tlibggml-base.so => /opt/llama/libggml-base.so (0x00007f02)
\tlibgomp.so.1 => /lib/libgomp.so.1 (0x00007f03)
\tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f04)
\t/lib64/ld-linux-x86-64.so.2 (0x00007f05)
"""
ENGINE = PackedEngine(
    path="engine/llama-server", title="llama-server 1", gpu="nvidia", glibc="2.34", driver="525.60.13"
)
HERE = Machine("linux", "x86_64", "3.11", "0", "", "2.36", "550.54.14")


def test_libraries_are_told_apart_by_who_may_pass_them_on() -> None:
    facts = EngineFacts("/opt/llama-server", "1", (), parse_libraries(LDD))
    assert {item.name: item.licence for item in facts.carried} == {
        "libcublasLt.so.12": "NVIDIA CUDA Toolkit EULA",
        "libcudart.so.12": "NVIDIA CUDA Toolkit EULA",
        "libggml-base.so": "MIT",
        "libgomp.so.1": "GPL-3.0-or-later WITH GCC-exception-3.1",
    }
    assert facts.carried[0].path == "/a folder/libcublasLt.so.12"
    assert [item.name for item in facts.libraries if not item.path] == ["libcuda.so.1"]
    assert facts.unexpected == ()
    assert facts.gpu == "nvidia"


@pytest.mark.parametrize(
    "name", ["libcuda.so.1", "libnvidia-ml.so.1", "libnvidia-ptxjitcompiler.so.1", "libnvcuvid.so.1"]
)
def test_what_belongs_to_the_driver_never_travels(name: str) -> None:
    library = Library(name, f"/opt/llama/{name}")
    assert library.licence == ""
    assert library.is_expected


@pytest.mark.parametrize("name", ["libcudnn.so.9", "libcurl.so.4", "libamdhip64.so.6", "libcudart-fake.so.1"])
def test_what_nobody_allowed_does_not_travel_and_is_named(name: str) -> None:
    assert EngineFacts("/x", "1", (), (Library(name, f"/lib/{name}"),)).unexpected == (name,)


@pytest.mark.parametrize(
    ("names", "here", "least"),
    [
        (["libcudart.so.12", "libcublas.so.12"], "580.1", "525.60.13"),
        (["libcublas.so.13"], "", "580.65.06"),
        (["libcudart.so.11.0"], "", "450.80.02"),
        (["libcuda.so.1"], "550.54.14", "550.54.14"),
        (["libvulkan.so.1"], "550.54.14", ""),
        ([], "550.54.14", ""),
    ],
)
def test_the_least_driver_follows_from_the_cuda_libraries(names: list[str], here: str, least: str) -> None:
    assert find_least_driver([Library(name, "/x") for name in names], here) == least


def test_kinds_of_gpu() -> None:
    assert [find_gpu([name]) for name in ("libggml-hip.so", "libvulkan.so.1", "libc.so.6")] == ["amd", "vulkan", "none"]


def test_glibc_is_read_from_symbol_versions() -> None:
    assert find_glibc(b"\0GLIBC_2.4\0GLIBC_2.34\0GLIBC_2.17\0") == 34
    assert find_glibc(b"no GLIBC_2.99 here, \0GLIBC_PRIVATE\0") == 0


def test_version_and_devices_as_llama_server_prints_them() -> None:
    assert parse_version("ggml_cuda_init: found 1\nversion: 6924 (e60f241e)\nbuilt with cc\n") == "6924 (e60f241e)"
    assert parse_version("nothing") == ""
    text = "Available devices:\n  CUDA0: NVIDIA H200 (143771 MiB, 143000 MiB free)\n\nbye"
    assert parse_devices(text) == ("CUDA0: NVIDIA H200 (143771 MiB, 143000 MiB free)",)
    assert parse_devices("Available devices:\n") == ()


# A program that is linked here


@pytest.fixture
def linked(tmp_path: Path) -> Path:
    """A program that says it is llama-server, linked with a libcudart and a driver that a test made."""
    if not shutil.which("cc"):
        pytest.skip("needs a C compiler")
    (tmp_path / "library.c").write_text("int touch(void) { return 0; }\n")
    (tmp_path / "driver.c").write_text("int drive(void) { return 0; }\n")
    (tmp_path / "main.c").write_text(
        '#include <stdio.h>\nint touch(void);\nint drive(void);\nint main(void) { printf("version: 7 (abc)\\n'
        'Available devices:\\n  CUDA0: fake (1 MiB, 1 MiB free)\\n"); return touch() + drive(); }\n'
    )
    for source, name in (("library.c", "libcudart.so.12"), ("driver.c", "libcuda.so.1")):
        argv = ["cc", "-shared", "-fPIC", f"-Wl,-soname,{name}", "-o", str(tmp_path / name), str(tmp_path / source)]
        subprocess.run(argv, check=True)
    program = tmp_path / "llama-server"
    link = [f"-L{tmp_path}", "-l:libcudart.so.12", "-l:libcuda.so.1", "-Wl,-rpath,$ORIGIN"]
    subprocess.run(["cc", "-o", str(program), str(tmp_path / "main.c"), *link], check=True)
    return program


def test_a_linked_program_is_looked_at_and_run(linked: Path) -> None:
    facts = inspect_engine(linked)
    assert (facts.version, facts.gpu, facts.driver) == ("7 (abc)", "nvidia", "525.60.13")
    assert facts.devices == ("CUDA0: fake (1 MiB, 1 MiB free)",)
    assert [item.name for item in facts.carried] == ["libcudart.so.12"]
    assert facts.glibc.startswith("2.")
    assert facts.unexpected == ()


def test_a_missing_driver_is_named_and_nothing_is_run(linked: Path) -> None:
    (linked.parent / "libcuda.so.1").unlink()
    with pytest.raises(BundleError, match=r"does not start here: libcuda\.so\.1 is not found") as caught:
        inspect_engine(linked)
    assert "NVIDIA driver" in caught.value.hint


def test_a_program_that_is_no_llama_server_is_refused(tmp_path: Path) -> None:
    for name, mode in (("text", 0o644), ("other", 0o755)):
        (tmp_path / name).write_text("#!/bin/sh\nexit 3\n")
        (tmp_path / name).chmod(mode)
    with pytest.raises(BundleError, match="is no program"):
        inspect_engine(tmp_path / "text")
    with pytest.raises(BundleError, match="is a script") as caught:
        inspect_engine(tmp_path / "other")
    assert caught.value.hint == "name the llama-server that it starts"
    (tmp_path / "other").write_bytes(b"MZ another system's")
    with pytest.raises(BundleError, match="is no program for Linux"):
        inspect_engine(tmp_path / "other")
    with pytest.raises(BundleError, match="is no llama-server"):
        inspect_engine(Path("/usr/bin/env"))
    with pytest.raises(BundleError, match="cannot be read"):
        inspect_engine(tmp_path / "missing")


def test_this_machine_s_driver_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_files, "DRIVER_VERSION", tmp_path / "version")
    assert engine_files.load_driver_version() == ""
    (tmp_path / "version").write_text("580.159.04\n")
    assert engine_files.load_driver_version() == "580.159.04"


# In the manifest, and at the site


def make_manifest(engine: PackedEngine | None = ENGINE, runtimes: tuple[str, ...] = ("process",)) -> Manifest:
    return assemble_bundle(files={"engine/llama-server": b"program"}, engine=engine, runtimes=runtimes)[0]


def test_a_manifest_names_its_engine_and_one_without_is_as_before() -> None:
    manifest = make_manifest()
    assert parse_manifest(encode_manifest(manifest), "x") == manifest
    assert not list(check_manifest(manifest))
    assert b'"engine"' not in encode_manifest(make_manifest(None))


def test_an_engine_that_is_no_program_of_the_bundle_is_refused() -> None:
    manifest = make_manifest(ENGINE.model_copy(update={"path": "engine/other"}))
    assert [finding.subject for finding in check_manifest(manifest)] == ["engine"]


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({}, []),
        ({"glibc": "2.31"}, [(Severity.ERROR, "this machine has glibc 2.31; llama-server 1 needs 2.34 or newer")]),
        (
            {"glibc": ""},
            [(Severity.ERROR, "this machine has glibc of another kind; llama-server 1 needs 2.34 or newer")],
        ),
        (
            {"driver": "470.82.01"},
            [(Severity.ERROR, "the NVIDIA driver here is 470.82.01; llama-server 1 needs 525.60.13 or newer")],
        ),
        (
            {"driver": ""},
            [(Severity.WARNING, "no NVIDIA driver is loaded here; llama-server 1 needs 525.60.13 or newer")],
        ),
    ],
)
def test_a_machine_that_the_engine_cannot_run_on_is_told_why(
    changes: dict[str, str], found: list[tuple[Severity, str]]
) -> None:
    findings = check_machine(make_manifest(), replace(HERE, **changes))
    assert [(item.severity, item.message) for item in findings if item.subject in ("glibc", "driver")] == found


def test_a_machine_with_docker_is_only_warned() -> None:
    manifest = make_manifest(runtimes=("compose", "process"))
    findings = check_machine(manifest, replace(HERE, docker="28.5.2", glibc="2.31"))
    assert [item.severity for item in findings if item.subject == "glibc"] == [Severity.WARNING]
