"""``models verify`` on Hugging Face folders, as a user runs it; no engine is needed."""

from __future__ import annotations

import hashlib
from pathlib import Path

from tests.integration.conftest import MakeSite
from tests.model_folders import TWO_SHARDS, write_folder

STACK = "version: 1\nmodels:\n  local-chat: {file: tiny, engine: vllm}\n"


def write_record(folder: Path, name: str, sha256: str) -> None:
    """What the hub's client writes down of a download."""
    records = folder / ".cache" / "huggingface" / "download"
    records.mkdir(parents=True, exist_ok=True)
    (records / f"{name}.metadata").write_text(f"{'c' * 40}\n{sha256}\n1700000000.0\n")


def test_every_file_of_a_folder_is_checked_and_compared_with_the_hub_s_digest(make_site: MakeSite) -> None:
    site = make_site()
    (site.path / "stack.yml").write_text(STACK)
    folder = write_folder(site.path / "models" / "tiny", shards=TWO_SHARDS)
    weights = "model-00001-of-00002.safetensors"
    write_record(folder, weights, hashlib.sha256((folder / weights).read_bytes()).hexdigest())
    rows = {row["path"]: row for row in site.run_json("models", "verify", "local-chat")}
    assert len(rows) == 6
    assert rows[f"tiny/{weights}"]["compared_with"] == ["hub"]
    assert {row["status"] for row in rows.values()} == {"ok"}
    write_record(folder, weights, "0" * 64)
    (folder / "model-00002-of-00002.safetensors").unlink()
    done = site.run("models", "verify", code=3)
    assert "the content is not the one that the hub gave" in done.stdout
    assert "shard model-00002-of-00002.safetensors is missing" in done.stdout


def test_a_folder_that_nothing_names_is_checked_too(make_site: MakeSite) -> None:
    site = make_site()
    folder = write_folder(site.path / "models" / "other")
    (folder / "tokenizer.json").unlink()
    assert "has no tokenizer" in site.run("models", "verify", code=3).stdout
