"""The program where its streams, its locale or its disk are not as usual: words and an exit code, never a bug."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.fakes import CHECKOUT
from tests.integration.stack_site import Site

BUG = "this is a bug"
PYTHON = [sys.executable, "-m", "stackctl"]
# Python's own remedies for an ASCII locale are off: what an old service manager or `env -i` starts.
PLAIN = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
KOREAN = "안녕"


def run(
    *arguments: object,
    folder: Path,
    stdin: bytes = b"",
    stdout: int = subprocess.PIPE,
    environment: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[bytes]:
    allowed = {name: os.environ[name] for name in ("PATH", "HOME", "XDG_CACHE_HOME") if name in os.environ}
    variables = {**allowed, "PYTHONPATH": str(CHECKOUT), **(environment or {})}
    return subprocess.run(
        [*PYTHON, *map(str, arguments)],
        cwd=folder,
        env=variables,
        input=stdin,
        stdout=stdout,
        stderr=subprocess.PIPE,
        check=False,
        timeout=120,
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Site.create(tmp_path_factory.mktemp("sites") / "우리 회사").path


@pytest.fixture(scope="module")
def full() -> Iterator[int]:
    """A file that takes nothing."""
    descriptor = os.open("/dev/full", os.O_WRONLY)
    yield descriptor
    os.close(descriptor)


@pytest.mark.parametrize(
    "command",
    [
        *("--version", "--help", "up --help", "status", "down", "config", "config --example", "models", "doctor"),
        *("up --dry-run", "render", "models verify", "models recommend --json"),
    ],
)
def test_output_that_cannot_be_written_is_an_error(site: Path, full: int, command: str) -> None:
    done = run(
        *command.split(), folder=site, stdout=full, environment={"PYTHONUNBUFFERED": "1" if command == "config" else ""}
    )
    assert done.returncode == 5
    assert b"error: Standard output: No space left on device.\nnext:  free some space" in done.stderr


def test_a_full_standard_error_leaves_the_exit_code(site: Path, full: int) -> None:
    for arguments, code, unbuffered in ((["--nonsense"], 2, ""), (["models", "verify", "none"], 3, "1")):
        environment = {**os.environ, "PYTHONPATH": str(CHECKOUT), "PYTHONUNBUFFERED": unbuffered}
        done = subprocess.run([*PYTHON, *arguments], cwd=site, env=environment, stderr=full, check=False, timeout=60)
        assert done.returncode == code


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_hinder_nothing(site: Path, closed: str) -> None:
    line = f"'{sys.executable}' -m stackctl render {closed}"
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    assert subprocess.run(["sh", "-c", line], cwd=site, env=environment, check=False, timeout=60).returncode == 0
    assert (site / ".stack" / "rendered" / "config.p1.yaml").read_text().startswith("#")


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_children_have_the_streams_that_were_closed(closed: str) -> None:
    child = "import os; [os.fstat(number) for number in range(3)]"
    program = f"import subprocess as s, sys; prepare_streams(); sys.exit(s.call([sys.executable, '-c', {child!r}]))"
    code = f"from stackctl.cli.program import prepare_streams; {program}"
    command = ["sh", "-c", f'"$0" -c "$1" {closed}', sys.executable, code]
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    assert subprocess.run(command, env=environment, check=False, timeout=60).returncode == 0


@pytest.mark.parametrize("command", ["config --reference", "--help", "models"])
def test_a_reader_that_is_gone_is_no_failure(site: Path, command: str) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = run(*command.split(), folder=site, stdout=writer)
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize("command", ["init", "models", "doctor", "render", "up --dry-run", "status", "logs"])
def test_korean_paths_are_themselves_in_an_ascii_locale(site: Path, command: str) -> None:
    done = run(*command.split(), folder=site, environment=PLAIN)
    text = (done.stdout + done.stderr).decode()
    assert BUG not in text
    assert r"\ud" not in text
    assert done.returncode in (0, 5, 6)
    if command in ("init", "render", "doctor"):
        assert "우리 회사" in text


def test_korean_words_are_themselves_in_an_ascii_locale(site: Path) -> None:
    done = run("models", "verify", KOREAN, folder=site, environment=PLAIN)
    assert done.returncode == 3
    assert f"'{KOREAN}'" in done.stderr.decode()


@pytest.mark.parametrize("locale", [{}, PLAIN, {"LC_ALL": "C.UTF-8"}])
def test_a_message_in_another_encoding_is_refused_with_its_place(site: Path, locale: dict[str, str]) -> None:
    done = run("chat", "-", folder=site, stdin=b"ping\n> " + KOREAN.encode("cp949"), environment=locale)
    assert done.returncode == 3
    assert b"Standard input is not UTF-8 text: line 2, column 3 holds the byte 0xbe; it looks like CP949" in done.stderr
    assert b"iconv -f CP949 -t UTF-8" in done.stderr


@pytest.mark.parametrize("command", ["chat", "models pull", "models add"])
def test_words_of_a_command_line_in_another_encoding_are_no_bug(site: Path, command: str) -> None:
    argv = [os.fsencode(part) for part in (*PYTHON, *command.split())] + [KOREAN.encode("cp949")]
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(argv, cwd=site, env=environment, capture_output=True, check=False, timeout=60)
    assert done.returncode in (2, 3, 5)
    assert BUG.encode() not in done.stderr


def test_a_site_whose_path_is_no_utf8_is_refused_in_words(tmp_path: Path) -> None:
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + KOREAN.encode("cp949")))
    folder.mkdir()
    assert run("init", folder=folder).returncode == 3
    assert not any(folder.iterdir())
    named = tmp_path / "a site"
    named.mkdir()
    assert run("init", folder=named).returncode == 0
    folder.rmdir()
    named.rename(folder)
    for command in ("render", "up"):
        done = run(command, folder=folder)
        assert done.returncode == 3
        assert b"not UTF-8" in done.stderr
        assert not (folder / ".stack" / "rendered").exists()
    assert run("models", "--json", folder=folder).returncode == 3


@pytest.mark.parametrize("name", [".env", "stack.yml"])
@pytest.mark.parametrize("command", ["up", "chat hi", "doctor"])
def test_a_folder_in_a_files_place_is_named(site: Path, tmp_path: Path, name: str, command: str) -> None:
    (tmp_path / "stack.yml").write_text("version: 1\n")
    (tmp_path / name).unlink(missing_ok=True)
    (tmp_path / name).mkdir()
    before = sorted(tmp_path.iterdir())
    done = run(*command.split(), folder=tmp_path)
    assert done.returncode in (3, 6)
    text = (done.stdout + done.stderr).decode()
    assert f"{name} cannot be read: Is a directory" in text
    assert "rename it or move it away" in text
    assert sorted(path for path in tmp_path.iterdir() if path.name != ".stack") == before


def test_init_beside_a_folder_named_env_is_refused(tmp_path: Path) -> None:
    (tmp_path / ".env").mkdir()
    done = run("init", folder=tmp_path)
    assert done.returncode == 3
    assert b".env cannot be read: Is a directory" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == [".env"]
