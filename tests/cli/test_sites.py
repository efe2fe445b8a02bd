"""Which site a command is for, and what it does where there is none."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from stackctl.core.settings.dotenv import set_values
from tests.cli.conftest import Command


def test_a_bundle_is_loaded_into_the_site_above_and_not_into_a_folder_of_it(
    stackctl: Command, site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (site / ".env").open("a") as file:
        file.write("BUNDLE_PUBLIC_KEY=nonsense\n")
    monkeypatch.chdir(site / "models")
    done = stackctl("offline-load", "--dry-run", site)
    assert "nonsense" in done.err
    assert done.err.startswith(f"site  {site}\n")
    told = " ".join(stackctl("offline-load", "--help").out.split())
    assert "Go on where a newer version, or the same with other content, is installed." in told
    assert "nonsense" not in stackctl("--site", site.parent, "offline-load", "--dry-run", site).err


def test_a_site_is_known_as_soon_as_its_start_was_tried(stackctl: Command, site: Path) -> None:
    known = Path(os.environ["XDG_STATE_HOME"]) / "stackctl" / "sites"
    known.unlink()
    (site / ".env").write_text(set_values((site / ".env").read_text(), {"CHAT_MODEL": "gone.gguf"}))
    assert stackctl("up", "--dry-run").code == 3
    assert not known.exists()
    assert stackctl("up").code == 3
    assert known.read_text() == f"{site}\n"


@pytest.mark.parametrize("where", ["--site", "the current folder"])
def test_a_site_is_named_or_the_current_folder(
    stackctl: Command, site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    (site / ".env").write_text(set_values((site / ".env").read_text(), {"STACK_NAME": "mine"}))
    arguments = ["--site", site] if where == "--site" else []
    if arguments:
        monkeypatch.chdir(tmp_path)
    assert stackctl(*arguments, "config", "--json").read_json()["STACK_NAME"]["value"] == "mine"


def test_a_command_in_a_folder_of_a_site_is_for_the_site(
    stackctl: Command, site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (site / ".env").write_text(set_values((site / ".env").read_text(), {"STACK_NAME": "mine"}))
    monkeypatch.chdir(site / "models")
    assert stackctl("config", "--json").read_json()["STACK_NAME"]["value"] == "mine"
    assert stackctl("render").code == 0
    assert (site / ".stack" / "rendered").is_dir()
    assert [path.name for path in (site / "models").iterdir()] == ["README.txt"]


NEED_A_SITE = (
    ["up"],
    ["up", "--dry-run"],
    ["down"],
    ["restart"],
    ["status"],
    ["health"],
    ["logs"],
    ["chat", "ping"],
    ["config"],
    ["render"],
    ["render", "--check"],
    ["models"],
    ["models", "pull", "qwen3-4b"],
    ["models", "verify"],
    ["doctor", "--set-context"],
    ["offline-pack", "--out", "out"],
    ["offline-verify", "--installed"],
    ["offline-rollback"],
    ["offline-prune"],
    ["offline-prove"],
)


@pytest.mark.parametrize("arguments", NEED_A_SITE, ids=" ".join)
@pytest.mark.parametrize("where", ["here", "named"])
def test_without_a_site_a_command_ends_with_3_and_creates_nothing(
    stackctl: Command, site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str, arguments: list[str]
) -> None:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    (folder / ".env").write_text("NODE_ENV=production\n")  # another program's
    monkeypatch.chdir(folder)
    done = stackctl(*(["--site", tmp_path / "a sight"] if where == "named" else []), *arguments)
    assert (done.code, done.out) == (3, "")
    assert "No site here" in done.err or f"No site at {tmp_path / 'a sight'}" in done.err
    assert f"the nearest one is {site}" in done.err
    assert "stackctl init" in done.err
    assert [path.name for path in folder.iterdir()] == [".env"]
    assert not (tmp_path / "a sight").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ["doctor"],
        ["models", "recommend", "--memory-gb", "8"],
        ["config", "--schema"],
        ["config", "--example"],
        ["offline-keygen", "--out", "../keys"],
        ["up", "--help"],
    ],
    ids=" ".join,
)
def test_what_needs_no_site_works_in_any_folder(
    stackctl: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    (folder / ".env").write_text("NODE_ENV=production\n")
    monkeypatch.chdir(folder)
    done = stackctl(*arguments)
    assert done.code in (0, 6 if arguments == ["doctor"] else 0), done.err
    assert "NODE_ENV" not in done.out + done.err
    assert (arguments == ["doctor"]) is ("No site here" in done.out)
    assert [path.name for path in folder.iterdir()] == [".env"]
