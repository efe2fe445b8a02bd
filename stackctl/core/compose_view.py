"""What the Compose templates show: one ``Container`` for each service, every derived value computed here. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address

from stackctl.core.engines import OFFICIAL_IMAGES, Engine
from stackctl.core.fit import Device, build_fit
from stackctl.core.models import ServedModel
from stackctl.core.settings import Settings
from stackctl.core.stack import GATEWAY, Service, Stack

MIB = 1024 * 1024
# Beyond weights, KV cache and buffers: the engine's prompt cache (512 MiB) and the process itself.
ENGINE_OVERHEAD_BYTES = 1024 * MIB
GATEWAY_BASE_BYTES = 512 * MIB
GATEWAY_WORKER_BYTES = 768 * MIB
GPUS = ("nvidia", "amd", "vulkan")


@dataclass(frozen=True, slots=True)
class Images:
    """Images of the compose runtime.

    Attributes:
        inference: by accelerator, ``none`` being the CPU.
        inference_is_local: built here or given by name only, so never pulled.
        is_released: a bundle brought them, so nothing is ever pulled or built.
    """

    gateway: str
    inference: Mapping[str, str]
    gateway_is_local: bool
    inference_is_local: bool
    is_released: bool = False


@dataclass(frozen=True, slots=True)
class Mount:
    """One file of the host, read-only in the container."""

    source: str
    target: str


@dataclass(frozen=True, slots=True)
class Container:
    """One service as Compose runs it; field names are Compose's where it has one.

    Attributes:
        command: empty leaves the image's own.
        environment: name to literal value.
        secrets: name to the variable that Compose takes the value from.
        ports: published as ``address:port:port``.
        mem_limit: bytes, 0 for none.
        start_period_s: how long the health check may fail before it counts.
        gpu_images: accelerator to the image that replaces this one.
    """

    name: str
    image: str
    pull_policy: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    secrets: Mapping[str, str]
    ports: tuple[str, ...]
    networks: tuple[str, ...]
    mounts: tuple[Mount, ...]
    healthcheck: tuple[str, ...]
    mem_limit: int
    pids_limit: int
    start_period_s: int
    stop_grace_period_s: int
    reaches_host: bool
    digest: str
    gpu_images: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ComposeView:
    """The context of every Compose template.

    Attributes:
        gpu_device_ids: chosen devices, empty for all.
        masquerade: "true" when the gateway may reach other networks, which only a configured provider needs.
    """

    project: str
    user: str
    containers: tuple[Container, ...]
    gpu_device_ids: tuple[str, ...]
    gpu_groups: tuple[str, ...]
    masquerade: str

    @property
    def engines(self) -> tuple[Container, ...]:
        """The containers that an overlay gives a GPU to."""
        return tuple(container for container in self.containers if container.gpu_images)


def choose_images(settings: Settings, engine: Engine, gateway_tag: str, inference_tag: str) -> Images:
    """The images to run; INFERENCE_IMAGE and GATEWAY_IMAGE replace them altogether.

    Args:
        gateway_tag, inference_tag: content digests of the two service folders, so that an image built from
            other sources has another name.
    """
    official = engine.launcher is None
    if settings.inference_image:
        inference = dict.fromkeys(("none", *GPUS), settings.inference_image)
    elif official:
        inference = {str(key): value for key, value in OFFICIAL_IMAGES.items()}
    else:
        image = f"{settings.stack_name}/{engine.name}:{inference_tag}"
        inference = {**dict.fromkeys(("none", *GPUS), image), "nvidia": f"{image}-cuda"}
    return Images(
        gateway=settings.gateway_image or f"{settings.stack_name}/{GATEWAY}:{gateway_tag}",
        inference=inference,
        gateway_is_local=not settings.gateway_image,
        inference_is_local=not settings.inference_image and not official,
    )


def choose_release_images(brought: Mapping[str, str], gateway_image: str, inference_image: str) -> Images:
    """The images of an installed release.

    Args:
        brought: use ("api-gateway", "inference.nvidia") to the name it was loaded under; an accelerator that the
            release has no image for is refused before anything starts, so its name is never used.
        gateway_image, inference_image: what this site itself names instead; empty for nothing.
    """
    cpu = brought.get("inference.none", "")
    inference = {gpu: inference_image or brought.get(f"inference.{gpu}", cpu) for gpu in ("none", *GPUS)}
    return Images(gateway_image or brought.get(GATEWAY, ""), inference, True, True, is_released=True)


def build_compose_view(stack: Stack, services: tuple[Service, ...], images: Images) -> ComposeView:
    """Everything the templates need."""
    settings = stack.settings
    devices = () if settings.gpu_devices == "all" else tuple(settings.gpu_devices.split(","))
    return ComposeView(
        project=settings.stack_name,
        user=settings.container_user,
        containers=tuple(_build_container(stack, service, images) for service in services),
        gpu_device_ids=devices,
        gpu_groups=tuple(settings.gpu_groups.split(",")),
        masquerade="true" if stack.endpoints else "false",
    )


def _build_container(stack: Stack, service: Service, images: Images) -> Container:
    is_gateway = service.model is None
    settings = stack.settings
    local = images.gateway_is_local if is_gateway else images.inference_is_local
    return Container(
        name=service.name,
        image=images.gateway if is_gateway else images.inference["none"],
        pull_policy="never" if local else "missing",
        command=service.arguments,
        environment=dict(sorted(service.environment.items())),
        secrets=dict(sorted(service.secrets.items())),
        ports=(f"{_write_address(settings.bind_address)}:{service.port}:{service.port}",) if is_gateway else (),
        networks=("edge", "inference") if is_gateway else ("inference",),
        mounts=_list_mounts(service),
        healthcheck=_build_healthcheck(service, uses_curl=not is_gateway and stack.engine.launcher is None),
        mem_limit=_choose_memory(settings, service.model),
        pids_limit=512,
        start_period_s=round(service.ready_timeout_s),
        stop_grace_period_s=30 if is_gateway else 15,
        reaches_host=is_gateway and any(item.is_on_this_machine for item in stack.endpoints),
        digest=service.digest,
        gpu_images={} if is_gateway else {gpu: images.inference[gpu] for gpu in GPUS},
    )


def _write_address(address: str) -> str:
    return f"[{address}]" if ip_address(address).version == 6 else address


def _list_mounts(service: Service) -> tuple[Mount, ...]:
    if service.model is None:
        return (Mount("./config.p1.yaml", service.environment["GATEWAY_CONFIG"]),)
    return tuple(Mount(path, f"/models/{path.rsplit('/', 1)[-1]}") for path in service.model.shards)


def _build_healthcheck(service: Service, *, uses_curl: bool) -> tuple[str, ...]:
    """A check of our own: the official engine image's asks port 8080 whatever the port is.

    Docker may give every container the proxy of its client's configuration; loopback is never asked through one.
    """
    url = f"http://127.0.0.1:{service.port}{service.health_path}"
    if uses_curl:
        return ("CMD", "curl", "--fail", "--silent", "--output", "/dev/null", "--max-time", "4", "--noproxy", "*", url)
    ask = f"import urllib.request as r; r.build_opener(r.ProxyHandler({{}})).open('{url}', timeout=4)"
    return ("CMD", "python3", "-c", ask)


def _choose_memory(settings: Settings, model: ServedModel | None) -> int:
    text = settings.gateway_memory_limit if model is None else settings.inference_memory_limit
    if text != "auto":
        return _parse_memory(text)
    if model is None:
        return GATEWAY_BASE_BYTES + settings.gateway_workers * GATEWAY_WORKER_BYTES
    fit = build_fit(model.header, model.context_length, model.slots, Device(0), settings.kv_cache_type)
    needed = fit.needed_bytes + ENGINE_OVERHEAD_BYTES
    # Whole steps of 256 MiB: a figure that a person can read, and no jitter from one build to the next.
    step = 256 * MIB
    return -(-needed // step) * step


def _parse_memory(text: str) -> int:
    units = {"k": 1024, "m": MIB, "g": 1024 * MIB}
    return int(text[:-1]) * units[text[-1]] if text[-1] in units else int(text)
