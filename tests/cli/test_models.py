"""``stackctl models add``, ``verify``, ``recommend`` and ``list`` on real files."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from pathlib import Path

import pytest

from stackctl.core.settings.dotenv import set_values
from tests.cli.conftest import Command
from tests.fakes import CHECKOUT
from tests.gguf_files import write_model, write_shards

DEMO = CHECKOUT / "models" / "demo.gguf"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_model(tmp_path / "carried.gguf")


def list_visible(site: Path) -> set[str]:
    return {path.name for path in (site / "models").iterdir() if not path.name.startswith(".")} - {"README.txt"}


def read_digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def set_env(site: Path, **values: str) -> None:
    (site / ".env").write_text(set_values((site / ".env").read_text(), values))


# add


@pytest.mark.parametrize("move", [False, True])
def test_an_added_model_is_there_with_its_digest(stackctl: Command, site: Path, model: Path, move: bool) -> None:
    digest = read_digest(model)
    done = stackctl("models", "add", model, *(["--move"] if move else []))
    assert done.code == 0, done.err
    assert "CHAT_MODEL=carried.gguf" in done.out
    assert read_digest(site / "models" / "carried.gguf") == digest
    assert digest in (site / "models" / "carried.gguf.sha256").read_text()
    assert model.exists() is not move
    assert stackctl("models", "verify", "carried.gguf").code == 0


def test_all_shards_are_added_from_any_of_them(stackctl: Command, site: Path, tmp_path: Path) -> None:
    shards = write_shards(tmp_path, 3)
    assert stackctl("models", "add", shards[1]).code == 0
    assert {path.name for path in shards} <= list_visible(site)


def test_nothing_is_added_while_a_shard_is_missing(stackctl: Command, site: Path, tmp_path: Path) -> None:
    shards = write_shards(tmp_path, 3)
    shards[2].unlink()
    done = stackctl("models", "add", shards[0])
    assert done.code == 3
    assert shards[2].name in done.err
    assert list_visible(site) == set()


def test_a_file_that_lies_there_already_is_only_recorded(stackctl: Command, site: Path, model: Path) -> None:
    lying = Path(shutil.move(model, site / "models"))
    done = stackctl("models", "add", lying)
    assert (done.code, "was here" in done.out) == (0, True)
    assert read_digest(lying) in (site / "models" / "carried.gguf.sha256").read_text()


def test_another_content_is_never_overwritten(stackctl: Command, site: Path, model: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = write_model(tmp_path / "other" / "carried.gguf", layers=3)
    assert stackctl("models", "add", model).code == 0
    before = read_digest(site / "models" / "carried.gguf")
    for options in ([], ["--move"]):
        done = stackctl("models", "add", other, *options)
        assert done.code == 3
        assert "was not touched" in done.err
    assert read_digest(site / "models" / "carried.gguf") == before
    assert other.exists()


@pytest.mark.parametrize(
    ("content", "words"), [(b"hello", "not a GGUF file"), (DEMO.read_bytes()[:-5000], "truncated"), (None, "no such")]
)
def test_what_is_no_model_is_not_added(
    stackctl: Command, site: Path, tmp_path: Path, content: bytes | None, words: str
) -> None:
    path = tmp_path / "x.gguf"
    if content is not None:
        path.write_bytes(content)
    done = stackctl("models", "add", path)
    assert done.code == 3
    assert words in done.err
    assert list_visible(site) == set()


def test_a_link_is_copied_under_its_own_name_and_not_moved(stackctl: Command, site: Path, model: Path) -> None:
    link = model.with_name("link.gguf")
    link.symlink_to(model)
    assert stackctl("models", "add", link, "--move").code == 2
    assert stackctl("models", "add", link).code == 0
    assert not (site / "models" / "link.gguf").is_symlink()


def test_a_file_that_the_catalog_knows_gets_the_setting_it_is_for(stackctl: Command, site: Path, model: Path) -> None:
    carried = model.rename(model.with_name("qwen2.5-coder-7b-instruct-q4_k_m.gguf"))
    done = stackctl("models", "add", carried)
    assert done.code == 0
    assert f"CODE_MODEL={carried.name}" in done.out


# verify


def test_every_problem_is_told_in_one_run(stackctl: Command, site: Path, tmp_path: Path) -> None:
    models = site / "models"
    write_model(tmp_path / "good.gguf")
    write_model(tmp_path / "changed.gguf")
    assert stackctl("models", "add", tmp_path / "good.gguf").code == 0
    assert stackctl("models", "add", tmp_path / "changed.gguf").code == 0
    changed = bytearray((models / "changed.gguf").read_bytes())
    changed[-1] ^= 1
    (models / "changed.gguf").write_bytes(changed)
    (models / "cut.gguf").write_bytes(DEMO.read_bytes()[:-5000])
    (models / "page.gguf").write_bytes(b"<!DOCTYPE html>")
    (models / "deep").mkdir()
    write_shards(models / "deep", 2)[1].unlink()
    (models / "gone.gguf.sha256").write_text(f"{'0' * 64}  gone.gguf\n")
    for name in ("half.gguf.partial", "half.gguf.adding.partial"):
        (models / ".partial" / name).write_bytes(b"GGUF")
    set_env(site, CODE_MODEL="nowhere.gguf")
    done = stackctl("models", "verify", "--json")
    assert done.code == 3
    found = {
        item["path"]: (item["status"], " ".join(f["message"] for f in item["findings"])) for item in done.read_json()
    }
    for path, words in {
        "changed.gguf": "SHA-256",
        "cut.gguf": "truncated",
        "page.gguf": "web page",
        "deep/chat-00002-of-00002.gguf": "is missing",
        "nowhere.gguf": "no such model file",
    }.items():
        assert found[path][0] == "error", path
        assert words in found[path][1]
    assert found["good.gguf"] == ("ok", "")
    assert found["gone.gguf"][0] == found[".partial/half.gguf.partial"][0] == "warning"
    text = stackctl("models", "verify").out
    assert "next: remove changed.gguf" in text
    assert "models pull' again, or remove" in text
    assert "models add' again, or remove" in text


@pytest.mark.parametrize("name", ["carried.gguf", "CHAT_MODEL", "local-chat"])
def test_one_model_is_checked_by_any_of_its_names(stackctl: Command, site: Path, model: Path, name: str) -> None:
    assert stackctl("models", "add", model).code == 0
    set_env(site, CHAT_MODEL="carried.gguf")
    (site / "models" / "broken.gguf").write_bytes(b"hello")
    done = stackctl("models", "verify", name, "--json")
    assert (done.code, [item["path"] for item in done.read_json()]) == (0, ["carried.gguf"])


def test_an_unknown_name_is_an_error(stackctl: Command, site: Path) -> None:
    done = stackctl("models", "verify", "demo.guf")
    assert done.code == 3
    assert "did you mean 'demo.gguf'?" in done.err
    both = stackctl("models", "verify", "first", "second").err
    assert "first" in both
    assert "second" in both


def test_the_demo_model_is_checked_against_the_catalog(stackctl: Command, site: Path) -> None:
    (item,) = stackctl("models", "verify", "demo", "--json").read_json()
    assert (item["status"], item["compared_with"]) == ("ok", ["catalog"])


def test_a_file_with_a_catalog_name_and_another_content_is_found(stackctl: Command, site: Path, model: Path) -> None:
    lying = site / "models" / "Qwen3-8B-Q4_K_M.gguf"
    shutil.copy(model, lying)
    assert stackctl("models", "verify").code == 3
    # Whoever says where the file is from may keep it: two quantisers use one name.
    done = stackctl("models", "add", lying)
    assert done.code == 0
    assert "another content" in done.err
    assert stackctl("models", "verify").code == 0


def test_coreutils_reads_the_records(stackctl: Command, site: Path, model: Path) -> None:
    stackctl("models", "add", model)
    argv = ["sha256sum", "--check", "--status", "carried.gguf.sha256"]
    assert subprocess.run(argv, cwd=site / "models", check=False).returncode == 0


# recommend and list


def test_recommended_lines_can_be_written_as_they_are(stackctl: Command, site: Path) -> None:
    found = stackctl("models", "recommend", "--memory-gb", "48", "--json").read_json()
    plan = next(plan for plan in found["plans"] if plan["use"] == "code")
    set_env(site, **dict(line.split("=", 1) for line in plan["env_lines"]))
    (site / "stack.yml").write_text("\n".join(plan["stack_lines"]))
    for name in (plan["env_lines"][0].partition("=")[2], "Qwen3-Embedding-0.6B-Q8_0.gguf"):
        write_model(site / "models" / name)
    rows = {row["served_name"]: row for row in stackctl("models", "--json").read_json()}
    assert rows["local-code"]["file"] == "qwen2.5-coder-32b-instruct-q8_0.gguf"
    assert rows["local-embed"]["file"] == "Qwen3-Embedding-0.6B-Q8_0.gguf"


def test_recommend_names_a_licence_and_a_command(stackctl: Command, site: Path) -> None:
    text = stackctl("models", "recommend", "--memory-gb", "8").out
    assert "models pull qwen2.5-coder-7b" in text
    assert "Apache-2.0" in text


def test_a_machine_that_is_too_small_is_told_so(stackctl: Command, site: Path) -> None:
    assert "Nothing of the catalog fits" in stackctl("models", "recommend", "--memory-gb", "1").out


def test_list_is_what_models_alone_says(stackctl: Command, site: Path) -> None:
    assert stackctl("models", "list", "--json").out == stackctl("models", "--json").out


@pytest.mark.parametrize("command", ["list", "pull", "add", "verify", "recommend"])
def test_every_command_of_models_explains_itself(stackctl: Command, command: str) -> None:
    done = stackctl("models", command, "--help")
    assert (done.code, "--json" in done.out) == (0, True)


def test_json_of_add(stackctl: Command, site: Path, model: Path) -> None:
    done = json.loads(stackctl("models", "add", model, "--json").out)
    assert done["files"][0]["sha256"] == read_digest(model)
