"""A release of a copy of this checkout: complete, the same from two builds, and refused where it would be none."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.fakes import CHECKOUT

IDENTITY = {
    f"GIT_{who}_{what}": "tests@example.invalid" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
}
VERSION = "7.1.0"


def git(folder: Path, *arguments: str) -> str:
    """What git prints there."""
    argv = ["git", *arguments]
    done = subprocess.run(argv, cwd=folder, env={**os.environ, **IDENTITY}, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def release(folder: Path, version: str) -> subprocess.CompletedProcess[str]:
    """Run the script of that checkout."""
    argv = [sys.executable, "scripts/release.py", version]
    return subprocess.run(argv, cwd=folder, env={**os.environ, **IDENTITY}, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def committed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with one commit that holds what this checkout does."""
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(listed, cwd=CHECKOUT, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip("needs a checkout")
    folder = tmp_path_factory.mktemp("release") / "checkout"
    for name in done.stdout.splitlines():
        if (CHECKOUT / name).is_file() and not name.startswith(("tests/", "docs/")):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(CHECKOUT / name, folder / name)
    (folder / "changelog.d" / "+told.fixed.md").write_text("What a release tells.\n", encoding="utf-8")
    git(folder, "init", "--quiet", "--initial-branch", "main")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "All of it")
    return folder


@pytest.fixture
def checkout(committed: Path, tmp_path: Path) -> Path:
    """A clone of one's own."""
    git(tmp_path, "clone", "--quiet", str(committed), "checkout")
    return tmp_path / "checkout"


@pytest.fixture(scope="module")
def released(committed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone that was released."""
    folder = tmp_path_factory.mktemp("released")
    git(folder, "clone", "--quiet", str(committed), "checkout")
    done = release(folder / "checkout", VERSION)
    assert done.returncode == 0, done.stderr
    return folder / "checkout"


def test_a_release_is_a_commit_a_tag_and_files_with_their_sums(released: Path) -> None:
    files = released / "dist" / f"stackctl-{VERSION}"
    lines = (files / "SHA256SUMS").read_text(encoding="utf-8").splitlines()
    sums = {name: digest for digest, _, name in (line.partition("  ") for line in lines)}
    assert sums == {
        name: hashlib.sha256((files / name).read_bytes()).hexdigest()
        for name in (
            "CHANGELOG.md",
            f"stackctl-{VERSION}-py3-none-any.whl",
            f"stackctl-{VERSION}.cdx.json",
            f"stackctl-{VERSION}.tar.gz",
        )
    }
    assert {path.name for path in files.iterdir()} == {*sums, "SHA256SUMS"}
    assert [path.name for path in (released / "dist").iterdir()] == [files.name]
    assert git(released, "rev-parse", f"v{VERSION}^{{commit}}") == git(released, "rev-parse", "HEAD")
    assert git(released, "log", "-1", "--format=%s") == f"Release {VERSION}"
    assert git(released, "status", "--porcelain") == ""
    assert len(git(released, "worktree", "list").splitlines()) == 1


def test_the_fragments_are_gathered(released: Path) -> None:
    changelog = (released / "CHANGELOG.md").read_text(encoding="utf-8")
    (new,) = (part for part in changelog.split("\n## ") if part.startswith(f"{VERSION} ("))
    fixed = next(part for part in new.split("\n### ") if part.startswith("Fixed\n"))
    assert "\n- What a release tells.\n" in fixed
    assert changelog.index(VERSION) < changelog.index("Before releases were numbered")
    assert [path.name for path in (released / "changelog.d").iterdir()] == ["README.md"]


def test_what_is_shipped_has_the_version_the_licence_and_no_more_than_git_has(released: Path) -> None:
    files = released / "dist" / f"stackctl-{VERSION}"
    with zipfile.ZipFile(files / f"stackctl-{VERSION}-py3-none-any.whl") as wheel:
        assert f'__version__ = "{VERSION}"' in wheel.read("stackctl/__init__.py").decode()
        names = wheel.namelist()
    assert f"stackctl-{VERSION}.dist-info/licenses/LICENSE" in names
    tracked = set(git(released, "ls-files").splitlines())
    own = {name.replace("_data/", "") if "/_data/" in name else name for name in names if ".dist-info" not in name}
    assert {name for name in own if name not in tracked and name.removeprefix("stackctl/") not in tracked} == set()
    with tarfile.open(files / f"stackctl-{VERSION}.tar.gz") as archive:
        members = {name.partition("/")[2] for name in archive.getnames()}
    assert {"LICENSE", "CHANGELOG.md", "README.md", "pyproject.toml"} <= members
    assert members - tracked == {"PKG-INFO"}


def test_the_bill_of_materials_names_every_locked_package(released: Path) -> None:
    files = released / "dist" / f"stackctl-{VERSION}"
    tree = json.loads((files / f"stackctl-{VERSION}.cdx.json").read_text(encoding="utf-8"))
    program = tree["metadata"]["component"]
    wheel = (files / f"stackctl-{VERSION}-py3-none-any.whl").read_bytes()
    assert (program["name"], program["version"]) == ("stackctl", VERSION)
    assert program["hashes"] == [{"alg": "SHA-256", "content": hashlib.sha256(wheel).hexdigest()}]
    found = {item["name"]: item for item in tree["components"]}
    assert found["click"]["properties"][0]["value"].startswith("requirements.lock")
    assert "services/api-gateway/requirements.lock" in found["litellm"]["properties"][0]["value"]
    references = [item["bom-ref"] for item in tree["components"]]
    assert len(references) == len(set(references)) > 80


def refuse(checkout: Path, version: str, words: str) -> None:
    """Expect a refusal that leaves everything as it was."""
    before = (git(checkout, "rev-parse", "HEAD"), git(checkout, "tag"), git(checkout, "status", "--porcelain"))
    done = release(checkout, version)
    assert done.returncode != 0
    assert words in done.stderr
    assert "\nnext:  " in done.stderr
    after = (git(checkout, "rev-parse", "HEAD"), git(checkout, "tag"), git(checkout, "status", "--porcelain"))
    assert before == after
    assert not list((checkout / "dist").glob("*"))
    assert len(git(checkout, "worktree", "list").splitlines()) == 1


def test_a_version_that_was_released_is_refused(checkout: Path) -> None:
    git(checkout, "tag", f"v{VERSION}")
    refuse(checkout, VERSION, f"The tag v{VERSION} is there")


@pytest.mark.parametrize("name", ["README.md", "left-lying"])
def test_a_checkout_with_changes_is_refused(checkout: Path, name: str) -> None:
    with (checkout / name).open("a") as file:
        file.write("changed\n")
    refuse(checkout, VERSION, name)


def test_a_release_with_nothing_to_tell_is_refused(checkout: Path) -> None:
    git(checkout, "rm", "--quiet", *(f"changelog.d/{path.name}" for path in (checkout / "changelog.d").glob("+*")))
    git(checkout, "commit", "--quiet", "--message", "No fragment")
    refuse(checkout, VERSION, "changelog.d has no fragment")


@pytest.mark.parametrize("version", ["", "1.2.x", "01.2", "0.0.1", "v1.2.3", "7.1.0+here"])
def test_what_is_no_next_version_is_refused(checkout: Path, version: str) -> None:
    refuse(checkout, version, f"VERSION is '{version}'")


def test_a_fragment_of_no_kind_is_refused(checkout: Path) -> None:
    (checkout / "changelog.d" / "+a.word.md").write_text("What kind?\n", encoding="utf-8")
    git(checkout, "add", "--all")
    git(checkout, "commit", "--quiet", "--message", "A fragment")
    refuse(checkout, VERSION, "+a.word.md")


def test_two_builds_that_differ_are_refused(checkout: Path) -> None:
    """A hook that writes the folder it is built in stands for whatever makes a build depend on its place."""
    (checkout / "hatch_build.py").write_text(
        "from pathlib import Path\n"
        "from hatchling.builders.hooks.plugin.interface import BuildHookInterface\n\n\n"
        "class CustomBuildHook(BuildHookInterface):\n"
        "    def initialize(self, version, build_data):\n"
        "        Path(self.root, 'stackctl', 'place.txt').write_text(self.root)\n",
        encoding="utf-8",
    )
    with (checkout / "pyproject.toml").open("a") as file:
        file.write("\n[tool.hatch.build.targets.sdist.hooks.custom]\n")
    git(checkout, "add", "--all")
    git(checkout, "commit", "--quiet", "--message", "A hook")
    refuse(checkout, VERSION, "Two builds of one commit gave other bytes: stackctl-7.1.0")
