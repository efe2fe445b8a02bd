"""What the Compose templates show: one ``Container`` for each service, every derived value computed here. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace

from stackctl.core.apps.app import ANYWHERE, TRUSTED_FILE, AppService
from stackctl.core.engine.vllm import CACHE_FOLDER, SERVE
from stackctl.core.models.fit import Device, build_fit
from stackctl.core.settings.settings import Settings
from stackctl.core.stack.app_container import (
    APPS_NETWORK,
    EDGE_NETWORK,
    INFERENCE_NETWORK,
    NO_NAME_SERVER,
    PROVIDERS_NETWORK,
    complete_app,
    has_shared_network,
    list_own_networks,
    publish,
    write_address,
)
from stackctl.core.stack.container import TMP, Container, Mount
from stackctl.core.stack.engine_start import GPU_LOG_VERBOSITY
from stackctl.core.stack.image_choice import GPUS, Images
from stackctl.core.stack.names import RELAY_FILE
from stackctl.core.stack.stack import CONTAINER_CA_BUNDLE, INGRESS, Service, Stack
from stackctl.core.text.sizes import parse_size_bytes

MIB = 1024 * 1024
# Beyond weights, KV cache, buffers and prompt cache: the process itself.
ENGINE_OVERHEAD_BYTES = 512 * MIB
GATEWAY_BASE_BYTES = 512 * MIB
GATEWAY_WORKER_BYTES = 768 * MIB
INGRESS_BYTES = 128 * MIB
# An engine on a GPU writes 50 lines a request, and what it writes is compressed to a twelfth.
GPU_LOG_FILES = 12

# The only thing that a container keeps: the gateway's database.
STATE_VOLUME = "gateway-state"
_LOG_VERBOSITY = "LLAMA_ARG_LOG_VERBOSITY"
_RELAY_PATH = f"/{RELAY_FILE}"
# What vLLM compiles for the model and the card it loads from there, so this one file system lets programs run.
_VLLM_CACHE = f"{CACHE_FOLDER}:rw,exec,nosuid,nodev,size=8g,mode=1777"
# Its processes hand each other pictures and tensors through shared memory, and several GPUs talk through it.
_VLLM_SHM_BYTES = 2 << 30
# Beyond the weights, which pass through memory once: PyTorch and CUDA in each of its processes, and the caches.
_VLLM_BYTES = 16 << 30
# Each of its processes has a thread for every core, and so have those that compile.
_VLLM_PIDS = 4096


@dataclass(frozen=True, slots=True)
class ComposeView:
    """The values that every Compose template is rendered with.

    Attributes:
        gpu_device_ids: chosen devices, empty for all.
        cdi_device_ids: the chosen devices as CDI names them.
        has_apps: whether there are services of apps that share a network.
        own_networks: networks that each have one service of the stack's own, the gateway and the ingress.
        has_providers_network: whether the gateway reaches anything but the engines.
        masquerade: "true" when the gateway reaches other machines, so that their answers need an address to come back
            to.
    """

    project: str
    containers: tuple[Container, ...]
    gpu_device_ids: tuple[str, ...]
    cdi_device_ids: tuple[str, ...]
    gpu_groups: tuple[str, ...]
    log_max_size: str
    log_max_files: int
    has_apps: bool
    own_networks: tuple[str, ...]
    has_providers_network: bool
    masquerade: str

    @property
    def gpu_log_max_files(self) -> int:
        """Number of log files of an engine on a GPU, which take as much disk as those of another service."""
        return self.log_max_files * GPU_LOG_FILES

    @property
    def volumes(self) -> tuple[str, ...]:
        """Names of the volumes of apps."""
        return tuple(name for item in self.containers for name in item.volumes if name != STATE_VOLUME)

    @property
    def gpu_watchers(self) -> tuple[Container, ...]:
        """The containers that look at the GPUs, which an overlay lets them do."""
        return tuple(container for container in self.containers if container.sees_gpus)

    @property
    def engines(self) -> tuple[Container, ...]:
        """The containers of engines, which an overlay gives a GPU to."""
        return tuple(container for container in self.containers if container.gpu_images)


def build_compose_view(stack: Stack, services: tuple[Service, ...], images: Images) -> ComposeView:
    """Build every value that the templates need."""
    settings = stack.settings
    devices = () if settings.gpu_devices == "all" else tuple(settings.gpu_devices.split(","))
    apps = tuple(service.app for service in services if service.app)
    has_stores = _has_stores(settings) or any(app.reaches == ANYWHERE for app in apps)
    return ComposeView(
        project=settings.stack_name,
        containers=tuple(_build_container(stack, service, images, apps) for service in services),
        gpu_device_ids=devices,
        cdi_device_ids=tuple(f"nvidia.com/gpu={device}" for device in devices or ("all",)),
        gpu_groups=tuple(settings.gpu_groups.split(",")),
        log_max_size=settings.log_max_size,
        log_max_files=settings.log_max_files,
        has_apps=has_shared_network(apps),
        own_networks=list_own_networks(apps),
        has_providers_network=bool(stack.endpoints) or has_stores,
        masquerade=str(has_stores or not all(item.is_on_this_machine for item in stack.endpoints)).lower(),
    )


def _build_container(stack: Stack, service: Service, images: Images, apps: tuple[AppService, ...]) -> Container:
    """A service's container as an engine needs it, and what is different for the gateway and its ingress."""
    uses_curl = service.model is not None and not service.model.is_vllm and stack.engine.launcher is None
    container = Container(
        name=service.name,
        image=images.inference["none"],
        pull_policy="never" if images.inference_is_local else "missing",
        entrypoint=(),
        command=service.arguments,
        environment=dict(sorted(service.environment.items())),
        secrets=dict(sorted(service.secrets.items())),
        ports=(),
        networks=(INFERENCE_NETWORK,),
        name_servers=(NO_NAME_SERVER,),
        mounts=_list_mounts(stack.settings, service),
        healthcheck=_build_healthcheck(service, uses_curl=uses_curl),
        mem_limit=_choose_memory(stack.settings, service),
        pids_limit=512,
        start_period_s=round(service.ready_timeout_s),
        stop_grace_period_s=15,
        reaches_host=False,
        digest=service.digest,
        gpu_images={gpu: images.inference[gpu] for gpu in GPUS},
        user=stack.settings.container_user,
    )
    if service.app:
        return complete_app(service.app, container, images)
    if service.model:
        engine = _complete_engine(stack, service, container)
        return _complete_vllm(stack, engine, images) if service.model.is_vllm else engine
    gateway = replace(
        container,
        image=images.gateway,
        pull_policy="never" if images.gateway_is_local else "missing",
        stop_grace_period_s=30,
        gpu_images={},
    )
    complete = _complete_ingress if service.name == INGRESS else _complete_gateway
    return complete(stack, gateway, apps)


def _complete_engine(stack: Stack, service: Service, container: Container) -> Container:
    """Add what the operator gives an engine's container beyond what every container has."""
    settings = stack.settings
    default = "" if _LOG_VERBOSITY in service.secrets else GPU_LOG_VERBOSITY
    return replace(
        container,
        log_verbosity=service.environment.get(_LOG_VERBOSITY, default),
        memlock=_parse_memlock(settings.inference_memlock) if settings.inference_memlock else None,
        shm_size=parse_size_bytes(settings.inference_shm_size) if settings.inference_shm_size else 0,
    )


def _complete_vllm(stack: Stack, container: Container, images: Images) -> Container:
    """Change what is different for vLLM: its image, where it may write, how many processes it is."""
    return replace(
        container,
        image=images.vllm,
        pull_policy="never" if images.is_released else "missing",
        entrypoint=SERVE,
        gpu_images=dict.fromkeys(GPUS, images.vllm),
        tmpfs=(TMP, _VLLM_CACHE),
        pids_limit=_VLLM_PIDS,
        stop_grace_period_s=30,
        log_verbosity="",
        shm_size=container.shm_size or _VLLM_SHM_BYTES,
    )


def _complete_ingress(stack: Stack, container: Container, apps: tuple[AppService, ...]) -> Container:
    """Add what is published: the gateway's image has Python, which is all that the relay needs."""
    settings = stack.settings
    port = settings.api_gateway_port
    own = [publish(app) for app in apps if app.is_own]
    return replace(
        container,
        entrypoint=("python3", "-I", "-S", _RELAY_PATH),
        ports=(f"{write_address(settings.bind_address)}:{port}:{port}", *own),
        networks=(EDGE_NETWORK, INFERENCE_NETWORK, *list_own_networks(apps)),
        pids_limit=32,
    )


def _complete_gateway(stack: Stack, container: Container, apps: tuple[AppService, ...]) -> Container:
    """Give the gateway a volume, and put it on the engines' network alone unless there is something else to reach."""
    container = replace(
        container,
        networks=(
            INFERENCE_NETWORK,
            *([APPS_NETWORK] if has_shared_network(apps) else []),
            *list_own_networks(apps),
        ),
        volumes={STATE_VOLUME: container.environment["GATEWAY_STATE"]},
    )
    has_stores = _has_stores(stack.settings)
    if not stack.endpoints and not has_stores:
        return container
    needs_names = has_stores or any(item.needs_name_server for item in stack.endpoints)
    return replace(
        container,
        networks=(*container.networks, PROVIDERS_NETWORK),
        name_servers=() if needs_names else (NO_NAME_SERVER,),
        reaches_host=has_stores or any(item.is_on_this_machine for item in stack.endpoints),
    )


def _has_stores(settings: Settings) -> bool:
    """Whether the gateway keeps anything at servers that are no apps of this stack; those may be anywhere."""
    return bool(settings.gateway_redis_url or settings.gateway_database_url)


def _list_mounts(settings: Settings, service: Service) -> tuple[Mount, ...]:
    selinux = "z" if settings.selinux_relabel else ""
    if service.app:
        app = service.app
        trusted = (Mount(app.trusts, TRUSTED_FILE, selinux),) if app.trusts else ()
        return (*(Mount(name, path, selinux, is_rendered=True) for name, path in app.files.items()), *trusted)
    if service.name == INGRESS:
        return (Mount(RELAY_FILE, _RELAY_PATH, selinux, is_rendered=True),)
    if service.model is None:
        ca_bundle = settings.gateway_ca_bundle
        trusted = (Mount(ca_bundle, CONTAINER_CA_BUNDLE, selinux),) if ca_bundle else ()
        return (Mount("config.p1.yaml", service.environment["GATEWAY_CONFIG"], selinux, is_rendered=True), *trusted)
    # The files one by one: what else lies in a folder the engine does not see, and links in it lead nowhere inside.
    place = f"/models/{service.model.path.rsplit('/', 1)[-1]}/" if service.model.is_vllm else "/models/"
    return tuple(Mount(path, place + path.rsplit("/", 1)[-1], selinux) for path in service.model.shards)


def _build_healthcheck(service: Service, *, uses_curl: bool) -> tuple[str, ...]:
    """A health check of our own: the official engine image's asks port 8080 whatever the port is.

    Docker may give every container the proxy of its client's configuration; loopback is never asked through one.
    """
    if service.app:
        return ("CMD", "/bin/sh", "-c", service.app.probe)
    if not service.health_path:
        script = f"import socket; socket.create_connection(('127.0.0.1', {service.port}), 4)"
        return ("CMD", "python3", "-I", "-S", "-c", script)
    url = f"http://127.0.0.1:{service.port}{service.health_path}"
    if uses_curl:
        return ("CMD", "curl", "--fail", "--silent", "--output", "/dev/null", "--max-time", "4", "--noproxy", "*", url)
    ask = f"import urllib.request as r; r.build_opener(r.ProxyHandler({{}})).open('{url}', timeout=4)"
    return ("CMD", "python3", "-c", ask)


def _choose_memory(settings: Settings, service: Service) -> int:
    model = service.model
    if service.app:
        return service.app.memory_bytes
    if service.name == INGRESS:
        return INGRESS_BYTES
    text = settings.gateway_memory_limit if model is None else settings.inference_memory_limit
    if text != "auto":
        return parse_size_bytes(text)
    if model is None:
        return GATEWAY_BASE_BYTES + settings.gateway_workers * GATEWAY_WORKER_BYTES
    step = 256 * MIB
    if model.is_vllm:  # its KV cache is the GPU's
        return -(-(model.header.tensor_bytes + _VLLM_BYTES) // step) * step
    fit = build_fit(model.header, model.context_length, model.slots, Device(0), settings.kv_cache_type)
    needed = fit.needed_bytes + ENGINE_OVERHEAD_BYTES + model.prompt_cache_mib * MIB
    # Whole steps of 256 MiB: a figure that a person can read, and no jitter from one build to the next.
    return -(-needed // step) * step


def _parse_memlock(text: str) -> int:
    return -1 if text == "unlimited" else parse_size_bytes(text)
