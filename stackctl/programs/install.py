"""Install stackctl from a bundle's bootstrap folder; the standard library of Python 3.8 is all it needs.

In: the folder that this file lies in, beside it wheels and a hashed lock file. Out: a virtual environment of its own
for each lock, and a link that is switched to it when it is whole. Does I/O. Started by install.sh.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
DAMAGED, UNSUITABLE, FAILED = 7, 3, 5
ARCHITECTURES = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}
MARKER = "complete"


class InstallError(Exception):
    """What failed, one next step, and the exit code."""

    def __init__(self, message: str, hint: str, code: int) -> None:
        super().__init__(message)
        self.hint = hint
        self.code = code


def main() -> int:
    """Install, and say what to do next."""
    try:
        home = Path.home()
    except RuntimeError:
        print(f"error: No home folder is known for user {os.geteuid()}.", file=sys.stderr)
        print("next:  set HOME to a folder that this user may write, as in 'HOME=/data ./install.sh'", file=sys.stderr)
        return FAILED
    parser = argparse.ArgumentParser(prog="install.sh", description="Install stackctl from this bundle.")
    parser.add_argument("--to", type=Path, default=home / ".local/share/stackctl", help="folder of environments")
    parser.add_argument("--bin", type=Path, default=home / ".local/bin", help="folder for the stackctl command")
    options = parser.parse_args()
    try:
        command = install(HERE, options.to.absolute(), options.bin.absolute())
    except InstallError as error:
        print(f"error: {error}\nnext:  {error.hint}", file=sys.stderr)
        return error.code
    except OSError as error:
        place = error.filename or options.to
        print(f"error: {place} cannot be written or read: {error.strerror}", file=sys.stderr)
        print("next:  correct that, or name other folders with --to and --bin", file=sys.stderr)
        return FAILED
    print(f"installed: {command}")
    warn_of_cache(Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache"))
    print_next("stackctl" if shutil.which("stackctl") == str(command) else str(command), HERE.parent)
    return 0


def print_next(program: str, bundle: Path) -> None:
    """Print what to do with the bundle now."""
    is_signed = (bundle / "bundle.json.sig").exists()
    words = [shlex.quote(program), "--key KEY" if is_signed else "--allow-unsigned", shlex.quote(str(bundle))]
    print("\nTry next, in the folder that is to hold the stack:")
    for command in ("offline-verify", "offline-load"):
        print("  " + " ".join([words[0], command, *words[1:]]))
    print(f"  {words[0]} up")
    if is_signed:
        print("KEY is the packer's public key, its file or its line; it came another way than this disk.")
    print(describe_space(bundle / "bundle.json"))


def describe_space(manifest: Path) -> str:
    """What the stack needs on this machine's disks, beside what was installed just now, in words."""
    needs = json.loads(manifest.read_text(encoding="utf-8"))["requires"]
    text = f"That folder needs {write_size(needs['disk_bytes'])} for models and files"
    if needs["engine_bytes"]:
        text += f", and Docker at least {write_size(needs['engine_bytes'])} for images"
    return text + "."


def write_size(size: int) -> str:
    """A size for people: ``4.6 GiB``."""
    value, unit = float(size), "B"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if value < 1024:
            break
        value, unit = value / 1024, larger
    return f"{value:.1f} {unit}" if unit != "B" else f"{size} B"


def is_noexec(folder: Path) -> bool:
    """Whether no program may be started from the disk that a folder is, or will be, on."""
    there = next(place for place in (folder, *folder.parents) if place.exists())
    return bool(os.statvfs(there).f_flag & os.ST_NOEXEC)


def warn_of_cache(cache: Path) -> None:
    """Warn where the disk of the cache runs no programs: the process runtime's services could not start from there."""
    if is_noexec(cache):
        print(f"warning: {cache} is on a disk mounted noexec: without Docker, no service can start from there")
        print("  set XDG_CACHE_HOME to a folder on another disk before 'stackctl up'")


def install(bootstrap: Path, to: Path, bin_folder: Path) -> Path:
    """Check, install beside what is there, switch the link; the path of the command that was linked."""
    check_sums(bootstrap)
    if is_noexec(to):
        message = f"{to} is on a disk mounted noexec, from which no program may be started."
        raise InstallError(message, "name a folder on another disk: --to FOLDER", FAILED)
    python = find_python(load_platform(bootstrap.parent / "bundle.json"))
    lock = bootstrap / "requirements.lock"
    digest = hashlib.sha256(lock.read_bytes() + str(python).encode()).hexdigest()[:12]
    environment = to / "versions" / digest
    if not (environment / MARKER).is_file():
        make_environment(bootstrap, lock, python, environment)
    switch(to / "current", Path("versions") / digest)
    bin_folder.mkdir(parents=True, exist_ok=True)
    switch(bin_folder / "stackctl", to / "current" / "bin" / "stackctl")
    return bin_folder / "stackctl"


def check_sums(bootstrap: Path) -> None:
    """Compare every file with SHA256SUMS, which covers this folder; all problems in one run."""
    expected = {}
    try:
        lines = (bootstrap.parent / "SHA256SUMS").read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise InstallError(f"SHA256SUMS cannot be read: {reason}.", "copy the bundle again", DAMAGED) from None
    for line in lines:
        sha256, _, name = line.partition("  ")
        if name.startswith("bootstrap/"):
            expected[name[len("bootstrap/") :]] = sha256
    there = {str(path.relative_to(bootstrap)) for path in bootstrap.rglob("*") if not path.is_dir()}
    problems = [f"{name} is missing" for name in sorted(expected.keys() - there)]
    problems += [f"{name} does not belong here" for name in sorted(there - expected.keys())]
    for name in sorted(there & expected.keys()):
        if hash_file(bootstrap / name) != expected[name]:
            problems.append(f"{name} was altered")
    if problems:
        raise InstallError("The bootstrap folder is damaged: " + "; ".join(problems) + ".", "copy it again", DAMAGED)


def hash_file(path: Path) -> str:
    """SHA-256 of a regular file; for anything else an empty text, which equals no digest."""
    if path.is_symlink() or not path.is_file():
        return ""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        for piece in iter(lambda: file.read(1 << 20), b""):
            digest.update(piece)
    return digest.hexdigest()


def load_platform(manifest: Path) -> list[str]:
    """Versions of Python that the wheels are for.

    Raises:
        InstallError: the bundle is for another kind of machine, or is not one.
    """
    try:
        facts = json.loads(manifest.read_text(encoding="utf-8"))["platform"]
        system, architecture = facts["os"], facts["architecture"]
        versions = [str(item) for item in facts["python"]]
    except (OSError, ValueError, KeyError, TypeError):
        raise InstallError(f"{manifest} is not a bundle's manifest.", "copy the bundle again", DAMAGED) from None
    here = (platform.system().lower(), ARCHITECTURES.get(platform.machine(), platform.machine()))
    if here != (system, architecture):
        message = f"The bundle is for {system}/{architecture}; this machine is {here[0]}/{here[1]}."
        raise InstallError(message, "pack a bundle on a machine of this kind", UNSUITABLE)
    return versions


def find_python(versions: list[str]) -> Path:
    """The newest Python on PATH that the bundle has wheels for.

    Raises:
        InstallError: no such Python is on PATH.
    """
    for version in sorted(versions, key=lambda text: [int(part) for part in text.split(".")], reverse=True):
        for name in (f"python{version}", "python3"):
            found = shutil.which(name)
            if found and ask_version(found) == version:
                return Path(found)
    message = f"The bundle has wheels for Python {', '.join(versions)}; none of them is on PATH."
    raise InstallError(message, "install one of them, or pack with --python X.Y for the one that is here", UNSUITABLE)


def ask_version(python: str) -> str:
    """The Python's version, ``3.12``; empty when it does not run."""
    script = "import sys; print('%d.%d' % sys.version_info[:2])"
    done = subprocess.run([python, "-I", "-c", script], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False)
    return done.stdout.decode().strip()


def make_environment(bootstrap: Path, lock: Path, python: Path, environment: Path) -> None:
    """Make a virtual environment with what the lock names, from the wheels beside it and nothing else."""
    shutil.rmtree(environment, ignore_errors=True)
    wheels = bootstrap / "wheels"
    environment.parent.mkdir(parents=True, exist_ok=True)
    # Not in /tmp, from which some machines start no programs.
    with tempfile.TemporaryDirectory(dir=environment.parent) as scratch:
        uv = extract_uv(wheels, Path(scratch))
        run([uv, "venv", "--quiet", "--no-project", "--python", python, environment], scratch)
        target: list[str | Path] = ["--python", environment / "bin" / "python", "--require-hashes", "--no-deps"]
        run([uv, "pip", "install", "--quiet", "--no-index", "--find-links", wheels, *target, "-r", lock], scratch)
    run([environment / "bin" / "stackctl", "--version"], str(environment))
    (environment / MARKER).touch()


def extract_uv(wheels: Path, scratch: Path) -> Path:
    """Take the installer out of its own wheel; the path of its program."""
    for path in sorted(wheels.glob("uv-*.whl")):
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                if name.endswith(".data/scripts/uv"):
                    program = scratch / "uv"
                    program.write_bytes(archive.read(name))
                    program.chmod(0o755)
                    return program
    raise InstallError("The wheel of uv is not in the bundle.", "pack the bundle again", DAMAGED)


def run(command: list[str | Path], scratch: str) -> None:
    """Run a step with nothing of this machine's package settings.

    Raises:
        InstallError: the step failed; has the end of what it said.
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "UV_", "PYTHON"))}
    settings = {"UV_OFFLINE": "1", "UV_NO_CONFIG": "1", "UV_NO_PROGRESS": "1", "UV_PYTHON_DOWNLOADS": "never"}
    environment.update(settings, UV_CACHE_DIR=str(Path(scratch) / "uv-cache"))
    argv = [str(part) for part in command]
    done = subprocess.run(argv, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    if done.returncode:
        tail = "\n".join(done.stdout.decode(errors="replace").strip().splitlines()[-8:])
        raise InstallError(
            f"{Path(argv[0]).name} {argv[1]} failed with {done.returncode}:\n{tail}", "see above", FAILED
        )


def switch(link: Path, target: Path) -> None:
    """Point a link to a new target in one step.

    Raises:
        InstallError: something that is no link has its name.
    """
    if link.exists() and not link.is_symlink():
        raise InstallError(f"{link} is there and is no link.", "move it away, or give another folder", FAILED)
    fresh = link.with_name(f".{link.name}.new")
    if fresh.is_symlink():
        fresh.unlink()
    fresh.symlink_to(target)
    fresh.replace(link)


if __name__ == "__main__":
    sys.exit(main())
