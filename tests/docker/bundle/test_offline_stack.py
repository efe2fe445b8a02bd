"""A stack that travels: packed where there is a network, carried to machines without one, and running there.

Every step is one that docs/guides/offline.md tells its reader to take, in its order.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from docker import DockerClient

from stackctl.core.bundle.format.manifest import Manifest, Platform
from stackctl.core.bundle.format.signature import parse_public_key, render_public_key, verify
from tests.bundle_builder import SECRET, ImageBytes, build_bundle, make_bytes
from tests.docker.airgap import STORES, Store, airgapped_engine
from tests.docker.offline_site import OfflineSite, network_without_routes, open_bare_site, open_engine_site
from tests.docker.packed import PYTHON, Packed, one_byte_changed, pack
from tests.docker.sites import ANSWERS, SERVICE_LABEL, MakeSite
from tests.ports import claim_ports

pytestmark = [pytest.mark.docker, pytest.mark.usefixtures("networks_without_routes")]

# For what says nothing of how an engine keeps its images.
one_store = pytest.mark.parametrize("arrived", STORES[:1], indirect=True)
DELTA_BYTES = 1024 * 1024
# Apps whose program this project has: images that are built, and wheels.
OWN_SERVICES = "chat-api,agents"
PUBLIC_LINE = render_public_key(SECRET.public).splitlines()[-1]  # of bundles that tests make up


# Containers


@pytest.fixture(scope="module")
def installed(packed: Packed, tmp_path_factory: pytest.TempPathFactory) -> str:
    """``stackctl`` as the bundle installs it on a machine that has Python and nothing else."""
    with network_without_routes() as entry:
        return install(open_bare_site(tmp_path_factory.mktemp("bootstrap"), entry), packed).program


def install(site: OfflineSite, packed: Packed) -> OfflineSite:
    """The same site with the ``stackctl`` that the bundle brought."""
    done = site.run_program("./bootstrap/install.sh", cwd=packed.folder)
    assert done.code == 0, done.text
    return replace(site, program=f"{site.environment['HOME']}/.local/bin/stackctl")


@pytest.fixture(scope="module", params=STORES)
def arrived(
    request: pytest.FixtureRequest,
    packed: Packed,
    installed: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[OfflineSite]:
    """A machine without a network on which the bundle was loaded; the first try ended in the middle of an image."""
    store: Store = request.param
    with airgapped_engine(store) as engine:
        site = open_engine_site(tmp_path_factory.mktemp(store), engine, installed)
        site.run_well("offline-verify", "--key", str(packed.public_key), str(packed.folder))
        load = ("offline-load", "--key", str(packed.public_key), str(packed.folder))
        site.kill_at("giving the engine its images", *load)
        assert site.current == ""
        site.run_well(*load)
        yield site
        site.run("down")


@pytest.fixture(scope="module")
def started(arrived: OfflineSite) -> OfflineSite:
    """The site after its first ``up``, for which nothing may be fetched."""
    with nothing_fetched(arrived):
        arrived.run_well("up")
    return arrived


@contextmanager
def connect(site: OfflineSite) -> Iterator[DockerClient]:
    """A client of the site's engine."""
    client = DockerClient(base_url=site.environment["DOCKER_HOST"], timeout=120)
    yield client
    client.close()


@contextmanager
def nothing_fetched(site: OfflineSite) -> Iterator[None]:
    """Assert that the engine pulls, loads and builds nothing meanwhile."""
    with connect(site) as client:
        began_ns, before = time.time_ns(), list_tags(client)
        yield
        # The engine is asked for whole seconds; what happened earlier in the first one is no business of ours.
        kinds = {"type": ["image", "builder"], "event": ["pull", "load", "import", "build"]}
        seen = client.events(since=began_ns // 10**9, until=time.time_ns() // 10**9 + 1, filters=kinds, decode=True)
        assert [item for item in seen if item["timeNano"] > began_ns] == []
        assert list_tags(client) == before


def list_tags(client: DockerClient) -> set[str]:
    """Every name that the engine has an image under."""
    return {tag for image in client.images.list() for tag in image.tags}


def list_ids(site: OfflineSite) -> dict[str, str]:
    """Container ids by name."""
    with connect(site) as client:
        return {str(item.name): str(item.id) for item in client.containers.list(all=True)}


def find_slots(site: OfflineSite) -> str:
    """INFERENCE_SLOTS as the chat engine that runs was given it."""
    with connect(site) as client:
        (chat,) = client.containers.list(filters={"label": f"{SERVICE_LABEL}=inference-chat"})
        command = chat.attrs["Config"]["Cmd"]
    return str(command[command.index("--parallel") + 1])


def test_what_was_loaded_runs(started: OfflineSite, packed: Packed) -> None:
    assert started.current == packed.manifest.short_id
    with connect(started) as client:
        assert list_tags(client) == {image.alias for image in packed.manifest.images}
        for image in packed.manifest.images:
            assert client.images.get(image.alias).attrs["RootFS"]["Layers"] == list(image.diff_ids)
    check_answers(started)
    again = started.run_well("offline-load", "--key", str(packed.public_key), str(packed.folder))
    assert "already current" in again.stdout


def check_answers(site: OfflineSite) -> None:
    """The stack is healthy where no route leads out, and a known question has its known answer."""
    routes = site.run_program("ip", "route")
    assert (routes.code, "default" in routes.stdout) == (0, False)
    assert site.load_json("health")["status"] == "ok"
    assert site.run_well("chat", "ping").stdout.strip() == ANSWERS["ping"]


@pytest.mark.parametrize("kind", ["image", "model"])
def test_a_damaged_bundle_disturbs_nothing_that_runs(
    started: OfflineSite, packed: Packed, kind: str, tmp_path: Path
) -> None:
    manifest = build_next_bundle(tmp_path, packed, content=kind)
    load = ("offline-load", "--key", PUBLIC_LINE, str(tmp_path / manifest.folder))
    started.run_well(*load, "--dry-run")  # nothing but the byte is wrong with it
    before = (list_ids(started), started.current)
    image, model = manifest.images[0], manifest.models[0]
    digest = image.layers[-1].digest.removeprefix("sha256:") if kind == "image" else model.files[0].chunks[-1]
    member = next(item for item in manifest.blobs if item.sha256 == digest)
    part = f"part-{member.part:04d}.tar"
    with one_byte_changed(tmp_path / manifest.folder / part, member.offset + member.size // 2):
        done = started.run(*load)
    assert done.code == 7, done.text
    assert part in done.stderr
    assert (image.reference if kind == "image" else model.files[0].path) in done.stderr
    assert (list_ids(started), started.current) == before


@one_store
def test_a_bundle_for_another_machine_is_refused(started: OfflineSite, packed: Packed, tmp_path: Path) -> None:
    manifest = build_next_bundle(tmp_path, packed, architecture="arm64")
    before = (list_ids(started), started.current)
    done = started.run("offline-load", "--key", PUBLIC_LINE, str(tmp_path / manifest.folder))
    assert done.code == 7, done.text
    assert "arm64" in done.stderr
    assert (list_ids(started), started.current) == before


def build_next_bundle(folder: Path, packed: Packed, architecture: str = "amd64", content: str = "content") -> Manifest:
    """A small bundle of the same stack, with a higher version and another key."""
    platform = Platform.model_validate({"os": "linux", "architecture": architecture, "python": (PYTHON,)})
    return build_bundle(
        folder,
        name=packed.manifest.name,
        version=packed.manifest.version + 7,
        images=[
            ImageBytes("api-gateway", [{"file": make_bytes(f"image of {content}", 300_000)}], architecture=architecture)
        ],
        models={"local-chat": make_bytes(f"model of {content}", 100_000)},
        part_size=1_000_000,
        platform=platform,
    )


@one_store
def test_a_changed_setting_travels_alone_and_can_be_taken_back(
    started: OfflineSite, packed: Packed, delta: Packed
) -> None:
    assert find_slots(started) == "4"
    key = started.run_well("keys", "create", "kept").stdout.strip()
    before = list_ids(started)
    assert delta.size_bytes < DELTA_BYTES
    started.run_well("offline-load", "--key", str(packed.public_key), str(delta.folder))
    assert (list_ids(started), started.current) == (before, delta.manifest.short_id)
    with nothing_fetched(started):
        started.run_well("up")
    assert find_slots(started) == "2"

    started.run_well("offline-rollback")
    assert started.current == packed.manifest.short_id
    assert find_slots(started) == "2"
    started.run_well("up")
    assert find_slots(started) == "4"
    # Keys are the site's: neither a new release nor the way back takes them.
    assert [item["name"] for item in json.loads(started.run_well("keys", "list", "--json").stdout)] == ["kept"]
    assert started.run_well("keys", "rotate", "kept").stdout.strip() != key


def test_containers_prove_themselves(arrived: OfflineSite, packed: Packed) -> None:
    check_proof(arrived, packed, "compose")


def check_proof(site: OfflineSite, packed: Packed, runtime: str) -> None:
    """``offline-prove`` passes, and its receipt is signed with the site's key."""
    site.run_well("down")
    receipt = site.load_json("offline-prove")
    assert (receipt["verdict"], receipt["runtime"]) == ("passed", runtime)
    assert (receipt["attempts"], receipt["pulled"], receipt["gaps"]) == ([], [], [])
    assert receipt["bundle"]["id"] == packed.manifest.id
    files = {name: Path(path) for name, path in receipt["files"].items()}
    public = parse_public_key((site.folder / "offline" / "site.pub").read_text(), "site.pub")
    verify(public, files["receipt"].read_bytes(), files["signature"].read_text())


@one_store
def test_own_services_arrive_as_images_and_answer(
    arrived: OfflineSite, packed: Packed, bundle_key: Path, tmp_path: Path
) -> None:
    brought = pack_own_services(packed, bundle_key, tmp_path)
    assert {"app.chat-api", "app.agents"} <= {use for image in brought.manifest.images for use in image.uses}
    arrived.run_well("down")
    arrived.run_well("offline-load", "--key", str(brought.public_key), str(brought.folder))
    with nothing_fetched(arrived):
        arrived.run_well("up")
    health = arrived.load_json("health")
    arrived.run_well("down")
    arrived.run_well("offline-rollback")
    assert arrived.current == packed.manifest.short_id
    asked = {item["subject"]: item["detail"] for item in health["results"] if item["layer"] == "app"}
    assert (health["status"], asked) == ("ok", dict.fromkeys(OWN_SERVICES.split(","), "answers /health/ready"))


def pack_own_services(packed: Packed, key: Path, out: Path) -> Packed:
    """What the packed stack becomes with its own services, which ran here: a delta, as engine and gateway travelled."""
    apps = {f"{name}_GATEWAY_KEY": f"planted-key-of-{name}" for name in ("CHAT_API", "AGENTS")}
    chat, agents, *_ = claim_ports()
    source = packed.source
    source.set(STACK_APPS=OWN_SERVICES, CHAT_API_PORT=chat, AGENTS_PORT=agents, **apps)
    source.run_well("up")
    try:
        return pack(source, key, out, "--base", str(packed.folder))
    finally:
        source.run("down")
        source.set(STACK_APPS="")


@one_store
def test_a_changed_byte_of_an_installed_model_is_found(arrived: OfflineSite, packed: Packed) -> None:
    check = ("offline-verify", "--installed", "--key", str(packed.public_key))
    arrived.run_well(*check)
    model = max((arrived.folder / "offline" / "store").rglob("*.gguf"), key=lambda path: path.stat().st_size)
    with one_byte_changed(model, model.stat().st_size // 2):
        done = arrived.run(*check)
    assert done.code == 7, done.text
    assert model.name in done.stderr
    arrived.run_well(*check)


# Processes


def test_processes_run_and_prove_themselves_on_a_bare_machine(
    make_site: MakeSite, bundle_key: Path, tmp_path: Path
) -> None:
    source = make_site(STACK_RUNTIME="process", STACK_APPS=OWN_SERVICES)
    packed = pack(source, bundle_key, tmp_path)
    assert packed.manifest.runtimes == ("process",)
    with network_without_routes() as entry:
        site = install(open_bare_site(tmp_path / "machine", entry), packed)
        site.run_well("offline-verify", "--key", str(packed.public_key), str(packed.folder))
        site.run_well("offline-load", "--key", str(packed.public_key), str(packed.folder))
        site.run_well("up")
        try:
            check_answers(site)
            check_proof(site, packed, "process")
        finally:
            site.run("down")
