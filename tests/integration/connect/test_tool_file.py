"""A tool's own file on a real disk: whatever it is like and whatever happens, nothing that a person had is lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from stackctl.cli.console import Progress
from stackctl.cli.world.effects import build_effects
from stackctl.core.connect.values import Gateway, Model
from stackctl.errors import ConfigError
from stackctl.operations.effects import Effects
from stackctl.operations.look.connect import Connected, find_path, find_tool, undo, write
from tests.fakes import raised_by

KEY = "sk-of-this-test"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A person's own folder."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in ("XDG_STATE_HOME", "XDG_CONFIG_HOME", "CODEX_HOME", "CLAUDE_CONFIG_DIR"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "home"


@pytest.fixture
def effects(home: Path) -> Effects:
    """This machine, with that home."""
    return build_effects(home / ".stack", {}, Progress())


def connected(effects: Effects, tool: str, model: str = "local-chat") -> Connected:
    """What a tool is told of a gateway with one model."""
    known, gateway = find_tool(tool), Gateway("http://127.0.0.1:8000", Model(model, 8192), "")
    guide = known.build(gateway)
    assert guide.settings
    return Connected(known, gateway, guide, find_path(guide.settings, effects.given.environment), ())


def put(effects: Effects, tool: str, model: str = "local-chat", key: str = KEY) -> str:
    return write(effects, connected(effects, tool, model), key, dry_run=False, force=False)


def make_file(home: Path, name: str, data: bytes) -> Path:
    path = home / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("tool", "name", "text"),
    [
        ("claude-code", ".claude/settings.json", '{\n  "theme": "dark"\n}\n'),
        ("codex", ".codex/config.toml", "# 내 것\nmodel = 'other'\n"),
        ("aider", ".aider.conf.yml", "# mine\nmodel: other\n"),
    ],
)
def test_ends_of_lines_and_a_mark_come_back(effects: Effects, home: Path, tool: str, name: str, text: str) -> None:
    data = b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode()
    file = make_file(home, name, data)
    put(effects, tool)
    written = file.read_bytes()
    assert KEY.encode() in written
    assert written.startswith(b"\xef\xbb\xbf")
    assert written.count(b"\n") == written.count(b"\r\n") > data.count(b"\n")
    undo(effects, tool, force=False)
    assert file.read_bytes() == data


def test_a_write_that_fails_loses_nothing(effects: Effects, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = '{"theme": "dark"}\n'
    file = make_file(home, ".claude/settings.json", first.encode())
    put(effects, "claude-code")

    save = effects.files.save_text

    def fail(path: Path, text: str, mode: int) -> bool:
        if path == file:
            raise OSError(28, "No space left on device", str(path))
        return save(path, text, mode)

    with monkeypatch.context() as patch:
        patch.setattr(type(effects.files), "save_text", staticmethod(fail))
        with pytest.raises(OSError, match="No space"):
            put(effects, "claude-code", "another")
    put(effects, "claude-code", "another")
    undo(effects, "claude-code", force=False)
    assert file.read_text() == first

    with monkeypatch.context() as patch:
        patch.setattr(type(effects.files), "save_text", staticmethod(fail))
        with pytest.raises(OSError, match="No space"):
            put(effects, "claude-code")
    undo(effects, "claude-code", force=False)  # it was never changed since
    assert file.read_text() == first


DAMAGED = '{"path": "/x", "before": 1, "written": [], "mode": "x"}'


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"path": 1}', "null", DAMAGED])
def test_a_record_that_cannot_be_read_is_named(effects: Effects, home: Path, text: str) -> None:
    put(effects, "codex")
    record, file = home / ".local/state/stackctl/connect/codex.json", home / ".codex/config.toml"
    record.write_text(text)
    before = file.read_bytes()
    for change in (lambda: undo(effects, "codex", force=True), lambda: put(effects, "codex", "another")):
        error = raised_by(change)
        assert isinstance(error, ConfigError)
        assert str(record) in error.message
        assert "move it away" in error.hint
    assert file.read_bytes() == before


@pytest.mark.parametrize("home_is", [None, "", "somewhere"])
def test_without_a_home_nothing_is_written(
    effects: Effects, monkeypatch: pytest.MonkeyPatch, home_is: str | None
) -> None:
    if home_is is None:
        monkeypatch.delenv("HOME")
    else:
        monkeypatch.setenv("HOME", home_is)
    for change in (lambda: put(effects, "codex"), lambda: undo(effects, "codex", force=False)):
        error = raised_by(change)
        assert isinstance(error, ConfigError)
        assert "HOME" in error.message


def test_a_folder_that_leads_into_a_repository_is_seen(effects: Effects, home: Path) -> None:
    repository = home / "dotfiles"
    (repository / ".git").mkdir(parents=True)
    (repository / "codex").mkdir()
    (home / ".codex").symlink_to(repository / "codex")
    error = raised_by(lambda: put(effects, "codex"))
    assert isinstance(error, ConfigError)
    assert str(repository) in error.message
    assert list((repository / "codex").iterdir()) == []


@pytest.mark.parametrize("kind", ["folder", "latin-1"])
def test_what_is_no_text_stays_as_it_is(effects: Effects, home: Path, kind: str) -> None:
    if kind == "folder":
        (home / ".codex/config.toml").mkdir(parents=True)
    else:
        make_file(home, ".codex/config.toml", "# Stra\u00dfe\n".encode("latin-1"))
    error = raised_by(lambda: put(effects, "codex"))
    assert isinstance(error, ConfigError)
    assert "config.toml" in error.message
    assert not (home / ".local/state/stackctl/connect/codex.json").exists()


def test_a_read_only_file_is_not_replaced(effects: Effects, home: Path) -> None:
    file = make_file(home, ".codex/config.toml", b"model = 'mine'\n")
    file.chmod(0o444)
    assert "is read-only (mode 0444)" in raised_by(lambda: put(effects, "codex")).message
    file.chmod(0o644)
    put(effects, "codex")
    file.chmod(0o400)
    assert "is read-only (mode 0400)" in raised_by(lambda: undo(effects, "codex", force=True)).message
    file.chmod(0o600)
    undo(effects, "codex", force=False)
    assert (file.read_bytes(), file.stat().st_mode & 0o777) == (b"model = 'mine'\n", 0o644)


@pytest.mark.parametrize("chain", [("elsewhere",), ("one", "two", "elsewhere"), ("nowhere",)])
def test_what_became_a_link_is_not_undone(effects: Effects, home: Path, chain: tuple[str, ...]) -> None:
    put(effects, "codex")
    file = home / ".codex/config.toml"
    elsewhere = make_file(home, "elsewhere", file.read_bytes())
    file.unlink()
    for name in chain:  # each leads to the next
        file.symlink_to(home / name)
        file = home / name
    before = elsewhere.read_bytes()
    for change in (lambda: undo(effects, "codex", force=True), lambda: put(effects, "codex", "another")):
        assert "is a link" in raised_by(change).message
    assert elsewhere.read_bytes() == before
    assert (home / ".codex/config.toml").is_symlink()


@pytest.mark.parametrize(
    ("folder", "said", "hint"),
    [
        (r"C:\Users\me\.codex", "a path of Windows", "CODEX_HOME='/mnt/c/Users/me/.codex'"),
        ("D:/me", "a path of Windows", "CODEX_HOME='/mnt/d/me'"),
        ("codex", "the path of a folder was expected", "CODEX_HOME"),
    ],
)
def test_a_folder_that_is_none_here_is_refused(
    effects: Effects, home: Path, monkeypatch: pytest.MonkeyPatch, folder: str, said: str, hint: str
) -> None:
    monkeypatch.setenv("CODEX_HOME", folder)
    error = raised_by(lambda: put(effects, "codex"))
    assert said in error.message
    assert hint in error.hint
    assert not home.exists()
