"""Make a release of this checkout: ``release.py VERSION``. Its commit and its tag stay here; nothing is sent.

In: a clean checkout with fragments in ``changelog.d``. Out: a commit with the version and the changelog, the tag
``vVERSION``, and ``dist/stackctl-VERSION/`` with wheel, source archive, bill of materials (CycloneDX), changelog and
``SHA256SUMS``. Everything is made in a work tree of its own and built twice from different folders; only when both gave
the same bytes does anything here change.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from packaging.version import InvalidVersion, Version

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from stackctl import __version__
from stackctl.core.bundle.pack.lock_file import parse_lock
from stackctl.core.bundle.pack.sbom import Component, render_sbom
from stackctl.errors import ConfigError, RuntimeFailure, StackError

ROOT = Path(__file__).resolve().parent.parent
NAME = "stackctl"
VERSION_FILE = Path(NAME, "__init__.py")
FRAGMENTS = Path("changelog.d")
CHANGELOG = "CHANGELOG.md"
# The earliest time that a zip file can hold.
EARLIEST = 315532800


def main() -> int:
    """Make the release, or say why there is none."""
    try:
        folder = make_release(" ".join(sys.argv[1:]))
    except StackError as error:
        print(f"error: {error}\nnext:  {error.hint}", file=sys.stderr)
        return error.exit_code
    print(f"released: {folder}, and the tag v{sys.argv[1]} here\nnext:  git push --follow-tags, when you are content")
    return 0


def make_release(version: str) -> Path:
    """Commit, build twice, compare, tag; the folder with the release's files."""
    check_version(version)
    check_checkout(version)
    with open_work_tree() as tree:
        commit = commit_release(tree, version)
        files = build_files(tree, commit, 0o022)
        compare(files, build_files(tree, commit, 0o077))
        changelog = (tree / CHANGELOG).read_bytes()
        files |= {f"{NAME}-{version}.cdx.json": describe(tree, version, files), CHANGELOG: changelog}
    files |= {"SHA256SUMS": render_sums(files)}
    with write_files(version, files) as folder:
        git(ROOT, "merge", "--quiet", "--ff-only", commit)
        git(ROOT, "tag", "--annotate", "--message", f"{NAME} {version}", f"v{version}", commit)
    return folder


def check_version(version: str) -> None:
    """Refuse what is no version, is not in its normal form, or is older than this source."""
    try:
        given = Version(version)
    except InvalidVersion:
        raise ConfigError(f"VERSION is '{version}'; expected one like 1.2.3.", "make release VERSION=1.2.3") from None
    if str(given) != version or given.local or given < Version(__version__):
        raise ConfigError(
            f"VERSION is '{version}'; expected one in its normal form, not before {__version__}.",
            f"make release VERSION={max(given, Version(__version__)).public}",
        )


def check_checkout(version: str) -> None:
    """Refuse a tag that is there, a checkout with changes, and one with nothing to tell."""
    if git(ROOT, "tag", "--list", f"v{version}"):
        raise ConfigError(f"The tag v{version} is there: {version} was released.", "give the next version")
    if changed := git(ROOT, "status", "--porcelain"):
        raise ConfigError(f"The checkout has changes:\n{changed}", "commit them, or put them aside: git stash -u")
    if not [path for path in (ROOT / FRAGMENTS).glob("*.md") if path.name != "README.md"]:
        raise ConfigError(f"{FRAGMENTS} has no fragment: the release would tell nothing.", "see CONTRIBUTING.md")


@contextmanager
def open_work_tree() -> Iterator[Path]:
    """A second work tree at this commit, gone afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder, "tree")
        git(ROOT, "worktree", "add", "--quiet", "--detach", str(tree))
        try:
            yield tree
        finally:
            git(ROOT, "worktree", "remove", "--force", str(tree))


def commit_release(tree: Path, version: str) -> str:
    """The commit that has the version in the source and the fragments in the changelog."""
    source = tree / VERSION_FILE
    text, count = re.subn(r'(?m)^__version__ = ".*"$', f'__version__ = "{version}"', source.read_text(encoding="utf-8"))
    if count != 1:
        raise ConfigError(f"{VERSION_FILE} has {count} lines with __version__; expected one.", "mend that file")
    source.write_text(text, encoding="utf-8")
    today = datetime.now(UTC).date().isoformat()
    run(tree, sys.executable, "-m", "towncrier", "build", "--yes", "--version", version, "--date", today)
    # Hooks check what people wrote; `make release` has checked this.
    git(tree, "commit", "--quiet", "--all", "--no-verify", "--message", f"Release {version}")
    return git(tree, "rev-parse", "HEAD")


def build_files(tree: Path, commit: str, umask: int) -> dict[str, bytes]:
    """Wheel and source archive of a commit, by name, from a folder that holds what git has and nothing else."""
    epoch = max(EARLIEST, int(git(tree, "show", "--no-patch", "--format=%ct", commit)))
    with tempfile.TemporaryDirectory() as folder:
        source, out = Path(folder, "source"), Path(folder, "out")
        source.mkdir()
        git(tree, "archive", "--output", f"{folder}/source.tar", commit)
        run(source, "tar", "-xf", f"{folder}/source.tar", umask=umask)
        uv = Path(sys.executable).with_name("uv")
        # The wheel is built from the source archive: so that is seen to be complete.
        build = ["build", "--no-build-isolation", "--offline", "--quiet", "--python", sys.executable]
        run(source, str(uv), *build, "--out-dir", str(out), str(source), umask=umask, SOURCE_DATE_EPOCH=str(epoch))
        return {path.name: path.read_bytes() for path in sorted(out.glob(f"{NAME}-*"))}


def compare(first: Mapping[str, bytes], second: Mapping[str, bytes]) -> None:
    """Refuse two builds that differ."""
    different = sorted(name for name in first.keys() | second.keys() if first.get(name) != second.get(name))
    if different or len(first) != 2:
        raise RuntimeFailure(
            f"Two builds of one commit gave other bytes: {', '.join(different) or sorted(first)}.",
            "look for a time, a path or an order in what pyproject.toml builds",
        )


def describe(tree: Path, version: str, files: Mapping[str, bytes]) -> bytes:
    """The bill of materials: this program, and every package of the locks that its wheel brings."""
    (wheel,) = (data for name, data in files.items() if name.endswith(".whl"))
    needed: dict[tuple[str, str], list[str]] = {}
    for lock in sorted([tree / "requirements.lock", *(tree / "services").glob("*/requirements*.lock")]):
        place = lock.relative_to(tree).as_posix()
        for entry in parse_lock(lock.read_text(encoding="utf-8"), place):
            needed.setdefault((entry.name, entry.version), []).append(place)
    packages = [Component("wheel", *key, sha256="", source=", ".join(locks)) for key, locks in needed.items()]
    program = Component("program", NAME, version, hashlib.sha256(wheel).hexdigest(), "Apache-2.0")
    return render_sbom([program, *packages]).encode()


def render_sums(files: Mapping[str, bytes]) -> bytes:
    """What ``sha256sum --check`` reads."""
    return "".join(f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in sorted(files.items())).encode()


@contextmanager
def write_files(version: str, files: Mapping[str, bytes]) -> Iterator[Path]:
    """The folder below ``dist`` that has the files once the block has ended well."""
    folder = ROOT / "dist" / f"{NAME}-{version}"
    folder.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, ignore_cleanup_errors=True) as fresh:
        for name, data in files.items():
            Path(fresh, name).write_bytes(data)
        yield folder
        shutil.rmtree(folder, ignore_errors=True)
        Path(fresh).chmod(0o755)
        Path(fresh).rename(folder)


def git(folder: Path, *arguments: str) -> str:
    """What a git command prints."""
    return run(folder, "git", *arguments)


def run(folder: Path, *argv: str, umask: int = -1, **environment: str) -> str:
    """What a program prints; an error with what it said when it fails."""
    merged = {**os.environ, **environment}
    done = subprocess.run(argv, cwd=folder, env=merged, umask=umask, capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stderr or done.stdout).strip()
        raise RuntimeFailure(
            f"{' '.join(argv[:3])} ended with {done.returncode}: {said}", "mend that, and run it again"
        )
    return done.stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
