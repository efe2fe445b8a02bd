"""A stack of containers, its images and its model: packed and loaded by us, and by the tools that people use for it.

The usual way is ``docker save | gzip`` of the images and ``tar czf`` of the rest; at the site ``gunzip | docker load``
and ``tar xzf``. Each load goes to an engine of its own with an empty store. Only ours verifies what it reads.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import docker
from docker.errors import DockerException, ImageNotFound

from stackctl.core.bundle.format.manifest_reader import parse_manifest
from tests.bench.commands import STACKCTL, run, run_shell
from tests.bench.disk import MIB, measure_size
from tests.bench.offline_packing import Packer
from tests.bench.report import Figure
from tests.docker.airgap import airgapped_engine, explain_no_airgap
from tests.docker.sites import CA_BUNDLE, IMAGES, Site
from tests.ports import claim_port

TITLE = "Offline bundles with containers"
NAME = "stack-bench"
DEMO_MODEL = Path(__file__).parents[2] / "models" / "demo.gguf"
_PACK = ("pack images and demo model", "stackctl offline-pack", "docker save, gzip and tar czf")
_LOAD = ("load images and demo model", "stackctl offline-load", "gunzip, docker load and tar xzf")


class NotMeasured(Exception):
    """The reason why a figure cannot be had on this machine."""


@dataclass(frozen=True, slots=True)
class _Archives:
    """What the usual way makes of a stack."""

    images: Path
    files: Path

    @property
    def size_bytes(self) -> int:
        return self.images.stat().st_size + self.files.stat().st_size


def measure_images(folder: Path) -> list[Figure]:
    """Both figures; a reason in their place where this machine has no engine, or cannot have a second one.

    Args:
        folder: an empty one, with room for four times the images.
    """
    figures: list[Figure] = []
    try:
        with _build_stack(folder) as packer:
            archives = _Archives(folder / "images.tar.gz", folder / "files.tar.gz")
            figures.append(_measure_pack(packer, archives))
            figures.append(_measure_load(packer, archives))
    except NotMeasured as reason:
        figures += [
            Figure(TITLE, name, command, f"not measured: {reason}", other, None)
            for name, command, other in (_PACK, _LOAD)[len(figures) :]
        ]
    return figures


@contextmanager
def _build_stack(folder: Path) -> Iterator[Packer]:
    """The demo stack in containers, started once, so that all its images are there; nothing of it stays behind."""
    if not shutil.which("docker"):
        raise NotMeasured("the docker command is not installed")
    try:
        client = docker.from_env(timeout=120)
    except DockerException:
        raise NotMeasured("no Docker engine answers") from None
    site = Site(folder / "site", NAME, claim_port(), client)
    site.folder.mkdir(parents=True)
    try:
        site.run_well("init")
        site.set(
            **{name: image for name, image in IMAGES.items() if _has_image(client, image)},
            BUILD_CA_BUNDLE=CA_BUNDLE, STACK_RUNTIME="compose", STACK_GPU="none", STACK_NAME=NAME,
            API_GATEWAY_PORT=site.port,
        )  # fmt: skip
        started = site.run("up")
        if started.code:
            raise NotMeasured("the stack's images could not be had: " + started.stderr.strip().splitlines()[-1])
        site.run_well("down")
        site.run_well("offline-keygen", "--out", str(folder / "bundle"))
        yield Packer(site.folder, folder, folder / "bundle.key")
    finally:
        site.remove()
        client.close()


def _has_image(client: docker.DockerClient, name: str) -> bool:
    try:
        client.images.get(name)
    except ImageNotFound:
        return False
    return True


def _measure_pack(packer: Packer, archives: _Archives) -> Figure:
    packer.warm_up()
    ours = run(packer.build_argv())
    images = parse_manifest((packer.find_bundle() / "bundle.json").read_bytes(), "bundle.json").images
    names = sorted({image.reference for image in images})
    other = run_shell('docker save "${@:2}" | gzip > "$1"', str(archives.images), *names)
    other += run_shell('tar -czf "$1" --exclude .env -C "$2" . -C "$3" "$4"', str(archives.files), str(packer.site),
                       str(DEMO_MODEL.parent), DEMO_MODEL.name)  # fmt: skip
    return _compare(_PACK, ours.seconds, measure_size(packer.find_bundle()), other, archives.size_bytes)


def _measure_load(packer: Packer, archives: _Archives) -> Figure:
    if problem := explain_no_airgap():
        raise NotMeasured(f"no second engine: {problem}")
    target = packer.folder / "arrived"

    def load(host: str) -> float:
        argv = [STACKCTL, "--site", str(target), "offline-load", *packer.trust, str(packer.find_bundle())]
        return run(argv, DOCKER_HOST=host).seconds

    def unpack(host: str) -> float:
        script = 'gunzip --stdout "$1" | docker load; tar -xzf "$2" -C "$3"'
        return run_shell(script, str(archives.images), str(archives.files), str(target), DOCKER_HOST=host)

    ours, other = _load_into_empty_engine(target, load), _load_into_empty_engine(target, unpack)
    return _compare(_LOAD, ours, measure_size(packer.find_bundle()), other, archives.size_bytes)


def _load_into_empty_engine(target: Path, load: Callable[[str], float]) -> float:
    """Seconds of a load into a new folder and an engine that has no layer yet."""
    with airgapped_engine("overlay2", may_use_memory=False) as engine:
        target.mkdir()
        seconds = load(engine.host)
    shutil.rmtree(target)
    return seconds


def _compare(title: tuple[str, str, str], ours: float, our_bytes: int, other: float, other_bytes: int) -> Figure:
    name, command, tools = title
    return Figure(TITLE, name, command, f"{ours:.1f} s, {our_bytes / MIB:.0f} MiB",
                  f"{tools}: {other:.1f} s, {other_bytes / MIB:.0f} MiB", ours / other)  # fmt: skip
