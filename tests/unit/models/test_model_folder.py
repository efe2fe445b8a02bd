"""Hugging Face folders: the facts of whole ones, and what is found wrong with others."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stackctl.adapters.models.gguf import load_model_files
from stackctl.core.models.files import build_model_header, check_model_files
from stackctl.core.models.folder_config import ConfigJsonError, parse_config
from stackctl.core.models.kv_cache import build_cache_cost
from stackctl.errors import Finding, Severity
from tests.gguf_files import write_model
from tests.model_folders import CONFIG, TWO_SHARDS, build_safetensors, write_folder

SETTING = "models.m.file"


def check(path: Path, *, by_vllm: bool = True, mode: str = "chat") -> tuple[Finding, ...]:
    kind = "chat" if mode == "chat" else "embedding"
    return check_model_files(SETTING, str(path), load_model_files(path), kind, by_vllm=by_vllm)  # type: ignore[arg-type]


def only(findings: tuple[Finding, ...]) -> Finding:
    assert len(findings) == 1, findings
    return findings[0]


# Whole folders


def test_a_whole_folder_has_the_facts_of_its_configuration_and_its_weights(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "tiny", shards=TWO_SHARDS)
    files = load_model_files(folder)
    header = build_model_header(files)
    assert check(folder) == ()
    assert header is not None
    assert (header.architecture, header.quantisation, header.context_length) == ("llama", "BF16", 4096)
    assert (header.block_count, header.head_count_kv, header.key_length) == (2, (2, 2), 16)
    assert (header.parameter_count, header.tensor_bytes, header.tensor_count) == (12_864, 25_728, 3)
    assert header.size_bytes == sum(path.stat().st_size for path in folder.iterdir())
    assert (header.has_chat_template, header.has_tools) == (True, False)
    # 2 layers x (keys + values) x 2 heads x 16 elements x 2 bytes
    assert build_cache_cost(header, "q4_0").token_bytes == 256
    assert [Path(path).name for path in files[0].paths] == [
        "config.json",
        "model-00001-of-00002.safetensors",
        "model-00002-of-00002.safetensors",
        "model.safetensors.index.json",
        "tokenizer.json",
        "tokenizer_config.json",
    ]


def test_what_no_engine_reads_is_no_part_of_the_model(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "m", shards=TWO_SHARDS)
    for name in ("consolidated.safetensors", "pytorch_model.bin", "modeling_x.py", "model.onnx", ".gitattributes"):
        (folder / name).write_bytes(build_safetensors({"x": (1,)}))
    (folder / "original").mkdir()
    names = {Path(path).name for path in load_model_files(folder)[0].paths}
    assert check(folder) == ()
    assert names.isdisjoint({"consolidated.safetensors", "pytorch_model.bin", "modeling_x.py", "original"})


def test_links_of_a_hub_s_cache_are_followed_and_their_digests_known(tmp_path: Path) -> None:
    digest = "a" * 64
    blob = tmp_path / "blobs" / digest
    blob.parent.mkdir()
    blob.write_bytes(build_safetensors({"embed": (100, 64)}))
    folder = write_folder(tmp_path / "snapshots" / "main")
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors").symlink_to(blob)
    files = load_model_files(folder)
    assert check(folder) == ()
    assert files[0].folder is not None
    weights = next(file for file in files[0].folder.files if file.name == "model.safetensors")
    assert (weights.size_bytes, weights.sha256) == (blob.stat().st_size, digest)


def test_a_download_s_record_gives_the_digest(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "m")
    records = folder / ".cache" / "huggingface" / "download"
    records.mkdir(parents=True)
    (records / "model.safetensors.metadata").write_text(f"{'c' * 40}\n{'b' * 64}\n1700000000.0\n")
    (records / "config.json.metadata").write_text(f"{'c' * 40}\n{'d' * 40}\n1700000000.0\n")
    found = load_model_files(folder)[0].folder
    assert found is not None
    assert {file.name: file.sha256 for file in found.files if file.sha256} == {"model.safetensors": "b" * 64}


@pytest.mark.parametrize("place", ["tokenizer_config.json", "chat_template.jinja"])
def test_a_template_that_takes_tools_is_known_wherever_it_stands(tmp_path: Path, place: str) -> None:
    template = "{% if tools %}{{ tools }}{% endif %}"
    folder = write_folder(tmp_path / "m", template=template if place == "tokenizer_config.json" else "")
    if place != "tokenizer_config.json":
        (folder / place).write_text(template)
    header = build_model_header(load_model_files(folder))
    assert header is not None
    assert (header.has_chat_template, header.has_tools) == (True, True)


# What is wrong


def remove(name: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).unlink()


def write(name: str, text: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_text(text)


def make_pickled(folder: Path) -> None:
    (folder / "pytorch_model.bin").write_bytes(b"pickle")
    (folder / "model.safetensors").unlink()


def cut(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1])


def link_to_nothing(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer.json").symlink_to("../../blobs/gone")


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (remove("config.json"), "has no config.json"),
        (write("config.json", "{"), "is no JSON"),
        (write("config.json", "[]"), "is no JSON object"),
        (write("config.json", "{}"), "names no model_type"),
        (write("config.json", json.dumps({**CONFIG, "num_hidden_layers": 0})), "says 0 layers"),
        (write("config.json", json.dumps({**CONFIG, "architectures": ["BertModel"]})), "BertModel writes no text"),
        (remove("tokenizer.json"), "has no tokenizer"),
        (remove("model.safetensors"), "no weights"),
        (make_pickled, "pickles only (pytorch_model.bin), and reading one runs the code that it holds"),
        (cut, "truncated: "),
        (link_to_nothing, "is a link to nothing (../../blobs/gone)"),
        (write("model.safetensors.index.json", "{}"), "has no weight_map"),
        (write("model.safetensors.index.json", '{"weight_map": {"a": "../x.safetensors"}}'), "has no weight_map"),
        (write("model.safetensors.index.json", '{"weight_map": {"embed": "gone.safetensors"}}'), "gone.safetensors is"),
        (write("model.safetensors.index.json", '{"weight_map": {"z": "model.safetensors"}}'), "does not hold 'z'"),
    ],
)
def test_a_damaged_folder_is_refused_with_what_is_wrong(
    tmp_path: Path, damage: Callable[[Path], object], words: str
) -> None:
    folder = write_folder(tmp_path / "m")
    damage(folder)
    errors = [finding for finding in check(folder) if finding.severity is Severity.ERROR]
    assert any(words in finding.message for finding in errors), errors
    assert all(finding.subject == SETTING and finding.hint for finding in errors)


def test_every_missing_shard_is_named(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "m", shards=TWO_SHARDS)
    for name in TWO_SHARDS:
        (folder / name).unlink()
    messages = [finding.message for finding in check(folder)]
    assert {f"shard {name} is missing" for name in TWO_SHARDS} <= set(messages)
    assert build_model_header(load_model_files(folder)) is None


def test_an_adapter_is_no_model(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "m")
    (folder / "config.json").rename(folder / "adapter_config.json")
    assert "this is a LoRA adapter, not a model" in [finding.message for finding in check(folder)]


def test_a_folder_without_a_chat_template_and_one_with_its_own_code_are_warned_of(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "m", template="", config={**CONFIG, "auto_map": {"AutoModel": "modeling_x.X"}})
    found = check(folder)
    assert {finding.severity for finding in found} == {Severity.WARNING}
    assert [word for word in ("chat template", "code") if any(word in item.message for item in found)] == [
        "chat template",
        "code",
    ]


# Which engine reads what


def test_llama_cpp_is_not_given_a_folder(tmp_path: Path) -> None:
    found = only(check(write_folder(tmp_path / "m"), by_vllm=False))
    assert "Hugging Face folder, which vLLM alone serves" in found.message
    assert "engine: vllm" in found.hint


def test_a_folder_without_a_model_is_no_gguf_file(tmp_path: Path) -> None:
    found = only(check(tmp_path, by_vllm=False))
    assert (found.message, found.hint) == (f"not a GGUF file: {tmp_path} is a folder", "name the .gguf file itself")


def test_vllm_is_not_given_a_file(tmp_path: Path) -> None:
    found = only(check(write_model(tmp_path / "m.gguf")))
    assert "vLLM serves Hugging Face folders" in found.message


def test_a_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    assert only(check(tmp_path / "gone")).message == "no such model folder"


# Configurations


def test_a_model_of_text_and_pictures_has_its_text_s_facts() -> None:
    config = parse_config(
        json.dumps(
            {
                "architectures": ["Qwen2_5_VLForConditionalGeneration"],
                "model_type": "qwen2_5_vl",
                "text_config": {"num_hidden_layers": 3, "num_attention_heads": 4, "hidden_size": 32, "head_dim": 16},
            }
        )
    )
    assert (config.block_count, config.key_length, config.head_count_kv) == (3, 16, (4, 4, 4))


def test_latent_attention_caches_one_compressed_key() -> None:
    latent = {"kv_lora_rank": 512, "qk_rope_head_dim": 64}
    config = parse_config(json.dumps({**CONFIG, **latent}))
    assert (config.has_compressed_kv, config.key_length, config.head_count_kv) == (True, 576, (1, 1))


def test_layers_without_a_cache_and_with_a_window_are_told_apart() -> None:
    kinds = ["linear_attention", "full_attention", "sliding_attention"]
    config = parse_config(json.dumps({**CONFIG, "num_hidden_layers": 3, "layer_types": kinds, "sliding_window": 128}))
    assert config.head_count_kv == (0, 2, 2)
    assert (config.sliding_window, config.windowed_layers) == (128, (0, 0, 1))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"quantization_config": {"quant_method": "awq"}}, "awq"),
        ({"quantization_config": {}}, "quantised"),
        ({}, ""),
    ],
)
def test_the_method_of_quantisation_is_named(values: dict[str, object], expected: str) -> None:
    assert parse_config(json.dumps({**CONFIG, **values})).quantisation == expected


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from([*CONFIG, "text_config", "layer_types", "quantization_config"]), JSON))
def test_any_configuration_is_read_or_refused_in_words(changes: dict[str, object]) -> None:
    with suppress(ConfigJsonError):
        config = parse_config(json.dumps({**CONFIG, **changes}))
        assert len(config.head_count_kv) == config.block_count


@given(st.text())
def test_any_text_is_no_configuration_or_one(text: str) -> None:
    with pytest.raises(ConfigJsonError):
        parse_config(text)
