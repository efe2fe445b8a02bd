"""What is found wrong with a model's files: missing, truncated, shards that do not belong together."""

from __future__ import annotations

import pickle
import re
from pathlib import Path

import gguf
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stackctl.adapters.models.gguf import load_gguf, load_model_files
from stackctl.core.models.files import ModelFile, ModelMode, build_model_header, check_model_files, suggest_file
from stackctl.errors import Finding, Severity
from tests.gguf_files import write_model, write_shards


def check(path: Path, mode: ModelMode = "chat") -> tuple[Finding, ...]:
    return check_model_files("CHAT_MODEL", str(path), load_model_files(path), mode)


def text_of(findings: tuple[Finding, ...]) -> str:
    return "\n".join(f"{finding.severity}: {finding.render_text()} -> {finding.hint}" for finding in findings)


def test_a_good_model_has_no_findings(tmp_path: Path) -> None:
    assert check(write_model(tmp_path / "m.gguf")) == ()


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    (finding,) = check(tmp_path / "none.gguf")
    assert (finding.subject, finding.file) == ("CHAT_MODEL", str(tmp_path / "none.gguf"))
    assert "no such model file" in finding.message


def test_a_truncated_file_tells_both_sizes(tmp_path: Path) -> None:
    path = write_model(tmp_path / "m.gguf")
    whole = load_gguf(path).expected_bytes
    path.write_bytes(path.read_bytes()[: whole - 100])
    (finding,) = check(path)
    assert f"{whole - 100} bytes seen, {whole} expected" in finding.message
    assert finding.severity is Severity.ERROR


def test_a_split_model_is_one_model(tmp_path: Path) -> None:
    paths = write_shards(tmp_path, 3)
    assert check(paths[0]) == ()
    header = build_model_header(load_model_files(paths[0]))
    assert header is not None
    assert (header.tensor_count, header.context_length) == (3, 4096)
    assert header.size_bytes == sum(path.stat().st_size for path in paths)


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    paths = write_shards(tmp_path, 3)
    paths[1].unlink()
    (finding,) = check(paths[0])
    assert "shard chat-00002-of-00003.gguf is missing" in finding.message


def test_a_later_shard_is_not_where_the_engine_starts(tmp_path: Path) -> None:
    findings = check(write_shards(tmp_path, 3)[1])
    assert "shard 2 of 3" in text_of(findings)
    assert "set CHAT_MODEL to chat-00001-of-00003.gguf" in text_of(findings)


def test_shards_of_different_models_are_told_apart(tmp_path: Path) -> None:
    paths = write_shards(tmp_path, 3)
    paths[1].write_bytes(paths[2].read_bytes())
    assert "says it is shard 3 of 3, its name says 2 of 3" in text_of(check(paths[0]))


def test_tensors_that_no_shard_holds_are_missed(tmp_path: Path) -> None:
    paths = write_shards(tmp_path, 2, announced=5)
    assert "hold 2 tensors, the first one announces 5" in text_of(check(paths[0]))


def test_a_renamed_shard_is_told_its_name(tmp_path: Path) -> None:
    path = write_shards(tmp_path, 2)[0].rename(tmp_path / "chat.gguf")
    assert "<name>-00001-of-00002.gguf" in text_of(check(path))


@pytest.mark.parametrize(
    ("arguments", "mode", "expected"),
    [
        ({"architecture": "llama99"}, "chat", "warning: .*'llama99'"),
        ({"template": ""}, "chat", "warning: .*no chat template"),
        ({"architecture": "bert"}, "chat", "warning: .*embedding model is served for chat"),
        ({"architecture": "clip"}, "chat", "error: .*vision projector"),
    ],
)
def test_unfit_models(tmp_path: Path, arguments: dict[str, str], mode: ModelMode, expected: str) -> None:
    findings = check(write_model(tmp_path / "m.gguf", **arguments), mode)  # type: ignore[arg-type]
    assert re.search(expected, text_of(findings))


def test_an_embedding_model_needs_no_template(tmp_path: Path) -> None:
    assert check(write_model(tmp_path / "m.gguf", architecture="bert", template=""), "embedding") == ()


def test_a_vocabulary_file_is_no_model(tmp_path: Path) -> None:
    writer = gguf.GGUFWriter(tmp_path / "v.gguf", "llama")
    writer.add_token_list(["a", "b"])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    assert "no tensors" in text_of(check(tmp_path / "v.gguf"))


@pytest.mark.parametrize(
    ("wanted", "hint"),
    [
        ("qwen-Chat.gguf", "set CHAT_MODEL to Qwen-chat.gguf"),
        ("Qwen-chat", "set CHAT_MODEL to Qwen-chat.gguf"),
        ("QWEN-CHAT.GGUF", "set CHAT_MODEL to Qwen-chat.gguf"),
        ("models/Qwen-chat.gguf", "set CHAT_MODEL to Qwen-chat.gguf"),
        ("deep.gguf", "set CHAT_MODEL to sub/deep.gguf"),
        ("Qwen-chad.gguf", "did you mean 'Qwen-chat.gguf'?"),
        ("split-q4", "set CHAT_MODEL to Split-Q4-00001-of-00002.gguf"),
        ("Split-Q4.gguf", "set CHAT_MODEL to Split-Q4-00001-of-00002.gguf"),
        ("zzz", "files there: Qwen-chat.gguf, Split-Q4-00001-of-00002.gguf, sub/deep.gguf"),
    ],
)
def test_a_wrong_name_gets_the_one_that_was_meant_or_those_that_are_there(
    tmp_path: Path, wanted: str, hint: str
) -> None:
    folder = tmp_path / "models"
    (folder / "sub").mkdir(parents=True)
    write_model(folder / "Qwen-chat.gguf")
    write_model(folder / "sub" / "deep.gguf")
    for number in (1, 2):
        write_model(folder / f"Split-Q4-0000{number}-of-00002.gguf")
    (finding,) = check(folder / wanted)
    assert (finding.message, finding.hint) == ("no such model file", hint)


@given(st.text(st.characters(codec="utf-8"), max_size=30), st.lists(st.text(max_size=20), max_size=8))
def test_every_name_gets_a_hint(wanted: str, names: list[str]) -> None:
    assert suggest_file("CHAT_MODEL", ModelFile(f"/m/{wanted}", neighbours=tuple(names)))


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"\x10\0\0\0\0\0\0\0" + b'{"__metadata__":{}}', "a safetensors file"),
        (b"lmgg\1\0\0\0", "an old GGML file"),
        (b"tjgg\1\0\0\0", "an old GGJT file"),
        (b"algg\1\0\0\0", "an old LoRA adapter"),
        (pickle.dumps({"weight": 1}, 2), "a Python pickle"),
        (pickle.dumps({"weight": 1}, 4), "a Python pickle"),
        (b"PK\x03\x04", "a ZIP or PyTorch archive"),
        (b"\x1f\x8b\x08", "a gzip archive"),
    ],
)
def test_a_file_of_another_format_is_named_as_what_it_is(tmp_path: Path, content: bytes, kind: str) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(content)
    (finding,) = check(path)
    assert f"not a GGUF file: it is {kind}" in finding.message
    assert "GGUF" in finding.hint or ".gguf" in finding.hint


@pytest.mark.parametrize(
    ("kind", "words"), [("adapter", "a LoRA adapter"), ("mmproj", "vision projector"), ("imatrix", "importance matrix")]
)
def test_a_gguf_file_that_is_no_model_is_named_as_what_it_is(tmp_path: Path, kind: str, words: str) -> None:
    path = write_model(tmp_path / "m.gguf", extra=lambda writer: writer.add_string("general.type", kind))
    (finding,) = check(path)
    assert words in finding.message
    assert finding.severity is Severity.ERROR
    # Containers are given the model's files alone, and a model that .env names has no arguments.
    assert ("that model's arguments in stack.yml" in finding.hint) is (kind == "adapter")
    assert ("(process runtime only)" in finding.hint) is (kind == "adapter")


@pytest.mark.parametrize(
    ("template", "has_tools"),
    [
        ("{{ messages }}", False),
        ("{{ footools }}" + " " * 5000, False),
        ("{% if tools %}{{ tools }}{% endif %}", True),
        (" " * 9000 + "{% for tool in tools %}", True),
    ],
)
def test_whether_a_template_takes_tools_is_read(tmp_path: Path, template: str, has_tools: bool) -> None:
    header = load_gguf(write_model(tmp_path / "m.gguf", template=template))
    assert (header.has_chat_template, header.has_tools) == (True, has_tools)
