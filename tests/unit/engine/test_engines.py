"""What starts each engine: its command line, its environment, and the choice between them."""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from build_llama_server import BuildError, check_hash, read_locked_package
from engine_arguments import build_parser, parse_arguments
from hypothesis import given
from hypothesis import strategies as st
from llama_cpp_python_server import Door

from stackctl.core.engine import engines
from stackctl.core.engine.engines import (
    ENGINES,
    LLAMA_CPP,
    LLAMA_CPP_PYTHON,
    XLLAMACPP,
    Accelerator,
    Engine,
    EngineParameters,
)

SERVICE = Path(__file__).parents[3] / "services" / "inference"
CHAT = EngineParameters(
    model_path="/models/a b.gguf",
    alias="local-chat",
    host="127.0.0.1",
    port=8001,
    context_length=4096,
    slots=4,
)


def read_flag(arguments: tuple[str, ...], flag: str) -> str:
    return arguments[arguments.index(flag) + 1]


def test_the_context_of_all_slots_is_given_so_that_each_slot_gets_what_was_asked() -> None:
    arguments = engines.build_arguments(LLAMA_CPP, CHAT)
    assert read_flag(arguments, "--ctx-size") == "16384"
    assert read_flag(arguments, "--parallel") == "4"


def test_an_engine_with_one_slot_is_not_given_the_context_of_four() -> None:
    arguments = engines.build_arguments(LLAMA_CPP_PYTHON, CHAT)
    assert read_flag(arguments, "--ctx-size") == "4096"
    assert read_flag(arguments, "--parallel") == "1"


@pytest.mark.parametrize(
    ("asked", "trained", "reported"), [(1000, 8192, 1024), (1024, 8192, 1024), (80000, 8192, 8192), (900, 1000, 1000)]
)
def test_a_context_is_what_the_engine_will_report(asked: int, trained: int, reported: int) -> None:
    assert engines.round_context(asked, trained) == reported


def test_a_path_with_a_space_stays_one_argument() -> None:
    assert read_flag(engines.build_arguments(XLLAMACPP, CHAT), "--model") == "/models/a b.gguf"


def test_what_is_left_to_the_engine_is_not_on_the_command_line() -> None:
    arguments = engines.build_arguments(LLAMA_CPP, CHAT)
    assert not {"--n-gpu-layers", "--threads", "--flash-attn", "--cache-type-k", "--pooling"} & set(arguments)


def test_no_layers_on_the_gpu_is_said_and_not_taken_for_unset() -> None:
    arguments = engines.build_arguments(LLAMA_CPP, replace(CHAT, gpu_layers=0))
    assert read_flag(arguments, "--n-gpu-layers") == "0"


def test_an_input_as_long_as_the_context_can_be_embedded() -> None:
    arguments = engines.build_arguments(LLAMA_CPP, replace(CHAT, mode="embedding", pooling="mean"))
    assert "--embeddings" in arguments
    assert read_flag(arguments, "--ubatch-size") == "4096"
    assert read_flag(arguments, "--pooling") == "mean"


def test_the_batch_of_a_long_embedding_context_is_bounded() -> None:
    arguments = engines.build_arguments(LLAMA_CPP, replace(CHAT, mode="embedding", context_length=131072))
    assert read_flag(arguments, "--ubatch-size") == str(engines.MAX_EMBEDDING_BATCH)


@pytest.mark.parametrize("slots", [1, 3, 4, 5, 6])
def test_slots_share_an_embedding_batch_evenly_and_a_whole_context_fits(slots: int) -> None:
    parameters = replace(CHAT, mode="embedding", context_length=256, slots=slots)
    batch = int(read_flag(engines.build_arguments(LLAMA_CPP, parameters), "--ubatch-size") or "")
    assert batch % slots == 0
    assert 256 <= batch < 256 + slots


@given(st.lists(st.text()), st.sampled_from(sorted(ENGINES)))
def test_extra_arguments_come_last_and_unchanged(extra: list[str], name: str) -> None:
    arguments = engines.build_arguments(ENGINES[name], replace(CHAT, extra_arguments=tuple(extra)))
    assert list(arguments[len(arguments) - len(extra) :]) == extra


@pytest.mark.parametrize(
    ("accelerator", "variable"),
    [
        ("nvidia", "CUDA_VISIBLE_DEVICES"),
        ("amd", "HIP_VISIBLE_DEVICES"),
        ("vulkan", "GGML_VK_VISIBLE_DEVICES"),
    ],
)
def test_chosen_devices_are_the_only_ones_the_engine_sees(accelerator: Accelerator, variable: str) -> None:
    chosen = replace(CHAT, accelerator=accelerator, gpu_devices=("0", "2"))
    assert engines.build_environment(LLAMA_CPP, chosen)[variable] == "0,2"
    assert variable not in engines.build_environment(LLAMA_CPP, replace(chosen, gpu_devices=()))


def test_llama_server_is_closed_to_web_pages_and_to_the_internet() -> None:
    environment = engines.build_environment(LLAMA_CPP, CHAT)
    assert environment["LLAMA_ARG_OFFLINE"] == "1"
    assert environment["LLAMA_ARG_CORS_ORIGINS"] == "none"
    assert environment["LLAMA_ARG_UI"] == "0"


@pytest.mark.parametrize("engine", ENGINES.values(), ids=list(ENGINES))
def test_threads_that_wait_leave_the_cpu_to_others(engine: Engine) -> None:
    assert engines.THREADS_WAIT.items() <= engines.build_environment(engine, CHAT).items()


def test_an_image_that_is_started_by_hand_lets_threads_wait_as_the_stack_does() -> None:
    dockerfile = (SERVICE / "Dockerfile").read_text(encoding="utf-8")
    assert all(f"{name}={value}" in dockerfile for name, value in engines.THREADS_WAIT.items())


@pytest.mark.parametrize("engine", ENGINES.values(), ids=list(ENGINES))
def test_the_key_is_in_no_argument_and_in_no_rendered_environment(engine: Engine) -> None:
    environment = engines.build_environment(engine, CHAT)
    assert engines.API_KEY_VARIABLE not in environment
    assert not any("key" in argument for argument in engines.build_arguments(engine, CHAT))


def test_every_launcher_and_lock_file_exists_and_locks_by_hash_without_an_index_address() -> None:
    for engine in ENGINES.values():
        for name in filter(None, (engine.launcher, engine.lock_file)):
            assert (SERVICE / name).is_file()
        if engine.lock_file:
            text = (SERVICE / engine.lock_file).read_text(encoding="utf-8")
            assert "--hash=sha256:" in text
            assert not re.search(r"https?://|--index-url|--find-links", text)


def test_every_official_image_is_pinned_to_a_build() -> None:
    for image in engines.OFFICIAL_IMAGES.values():
        assert re.fullmatch(r"ghcr\.io/ggml-org/llama\.cpp:server(-\w+)?-b\d+", image)


@pytest.fixture
def model_file(tmp_path: Path) -> str:
    path = tmp_path / "model.gguf"
    path.touch()
    return str(path)


def test_the_launchers_understand_every_argument_that_is_built(model_file: str) -> None:
    everything = replace(
        CHAT,
        model_path=model_file,
        mode="embedding",
        gpu_layers=1,
        threads=2,
        pooling="mean",
        flash_attention="on",
        cache_type="q8_0",
    )
    parsed = parse_arguments(build_parser(""), engines.build_arguments(XLLAMACPP, everything))
    assert (parsed.model, parsed.ctx_size, parsed.parallel) == (model_file, 16384, 4)
    assert (parsed.embeddings, parsed.pooling, parsed.cache_type_v) == (True, "mean", "q8_0")


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"model_path": "/nowhere/x.gguf"}, "/nowhere/x.gguf"),
        ({"host": "0.0.0.0"}, "LLAMA_API_KEY"),
        ({"port": 70000}, "65535"),
        ({"cache_type": "q9"}, "q9"),
        ({"extra_arguments": ("--mlock",)}, "--mlock"),
    ],
)
def test_a_launcher_refuses_what_it_cannot_serve(
    changes: dict[str, Any],
    complaint: str,
    model_file: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.delenv(engines.API_KEY_VARIABLE, raising=False)
    parameters = replace(CHAT, **{"model_path": model_file, **changes})
    with pytest.raises(SystemExit) as stopped:
        parse_arguments(build_parser(""), engines.build_arguments(XLLAMACPP, parameters))
    assert stopped.value.code == 2
    assert complaint in capsys.readouterr().err


def ask_door(door: Door, path: str, key: str = "") -> tuple[int, dict[str, Any]]:
    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    async def receive() -> dict[str, Any]:
        return {"type": "http.request"}

    headers = [(b"authorization", f"Bearer {key}".encode())] if key else []
    asyncio.run(door({"type": "http", "path": path, "headers": headers}, receive, send))
    return sent[0]["status"], json.loads(sent[1]["body"])


def test_a_loading_model_is_unavailable_and_not_dead() -> None:
    door = Door("local-chat", "sk-1")
    assert ask_door(door, "/health") == (
        503,
        {"error": {"code": 503, "message": "Loading model", "type": "unavailable_error"}},
    )
    assert ask_door(door, "/v1/chat/completions", "sk-1")[0] == 503
    assert ask_door(door, "/v1/chat/completions", "sk-2")[0] == 401


def test_routes_of_the_package_that_clients_have_no_use_for_are_closed() -> None:
    async def package_app(*_: Any) -> None:
        raise AssertionError("reached the package")

    door = Door("local-chat", "sk-1")
    door.package_app = package_app
    assert ask_door(door, "/health")[0] == 200
    assert ask_door(door, "/docs", "sk-1")[0] == 404
    assert ask_door(door, "/v1/models", "sk-1")[1]["data"][0]["id"] == "local-chat"


def test_the_package_is_read_from_the_lock_with_its_hashes() -> None:
    lock = (SERVICE / "requirements.lock").read_text(encoding="utf-8")
    requirement, hashes = read_locked_package(lock)
    assert requirement.startswith("llama-cpp-python==")
    assert all(re.fullmatch("[0-9a-f]{64}", digest) for digest in hashes)
    with pytest.raises(BuildError, match="does not lock"):
        read_locked_package(lock.replace("llama-cpp-python==", "other=="))


def test_an_archive_that_is_not_the_locked_one_is_refused(tmp_path: Path) -> None:
    archive = tmp_path / "sdist.tar.gz"
    archive.write_bytes(b"not it")
    with pytest.raises(BuildError, match="does not list"):
        check_hash(archive, frozenset({"0" * 64}))
