"""What an app is: its services as both runtimes start them, what it needs of the machine, what the gateway is told.

An app is one module of this room that makes an ``App``, and one entry in catalog.py. Its services are ``AppService``
values, which core/stack turns into what supervisor and Compose run. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stackctl.core.settings.settings import Settings

# Of the site's state folder: what apps keep, a folder for each service.
DATA_FOLDER = "apps"
# What a service of the stack's own reaches beside the gateway: the services of other apps, or any machine.
APPS_ALONE, ANYWHERE = "apps", "anywhere"
# Where a container finds the company's certificate authority.
TRUSTED_FILE = "/etc/ssl/company-ca.pem"


@dataclass(frozen=True, slots=True)
class OwnProgram:
    """Where a service of the stack's own finds its program.

    Attributes:
        python: Python of the environment that was made from its lock.
        source: the folder above its package; empty in a container, whose image knows.
        digest: digest of that folder, so that an upgrade restarts it; empty in a container, whose image's name has it.
    """

    python: str = "/opt/venv/bin/python"
    source: str = ""
    digest: str = ""


@dataclass(frozen=True, slots=True)
class AppPlaces:
    """How paths and hosts look to a service of an app.

    Attributes:
        in_container: whether it runs in a container, and not as a process of this machine.
        state: absolute path of the site's state folder; empty in a container.
        gateway_python: Python of the gateway's environment, which an app's service may be a program of.
        gateway_source: the folder above the gateway's package; empty in a container, whose image knows.
        gateway_digest: digest of that package; empty in a container, whose image's name holds it.
        programs: folder of what was installed beside stackctl, which PATH need not name; empty in a container.
        certificate_mark: digest of the certificate that the app lan starts with; empty in a container, which is given
            the certificate itself.
        scratch: path of a folder that services may write to.
        own: the programs of services of the stack's own, by the service; none in a container, whose images know.
    """

    in_container: bool
    state: str = ""
    gateway_python: str = "/opt/venv/bin/python"
    gateway_source: str = ""
    gateway_digest: str = ""
    programs: str = ""
    certificate_mark: str = ""
    scratch: str = "/tmp"  # noqa: S108  # inside a container: its own tmpfs
    own: Mapping[str, OwnProgram] = field(default_factory=dict)

    def find_own(self, service: str) -> OwnProgram:
        """The program of a service of the stack's own."""
        return self.own.get(service, OwnProgram())

    def choose_folder(self, service: str, inside: str) -> str:
        """The folder in which a service keeps its data.

        Args:
            inside: the folder of its image that belongs to the image's user; a volume goes there.
        """
        return inside if self.in_container else f"{self.state}/{DATA_FOLDER}/{service}"

    def find_file(self, name: str, inside: str) -> str:
        """The path at which a service reads a rendered file; ``inside`` a container it is mounted there."""
        return inside if self.in_container else f"{self.state}/rendered/{name}"

    def choose_host(self, service: str) -> str:
        """The name or address under which the gateway reaches a service."""
        return service if self.in_container else "127.0.0.1"

    @property
    def listen_address(self) -> str:
        """The address that a service listens on: in a container every one of its own, none of which is published."""
        return "0.0.0.0" if self.in_container else "127.0.0.1"  # noqa: S104


@dataclass(frozen=True, slots=True)
class AppService:
    """One service of an app.

    Attributes:
        script: what ``/bin/sh`` runs, in both runtimes; it becomes the program, and hands it secrets from its
            variables by standard input or a file that only the service can read, never as an argument.
        probe: what ``/bin/sh`` runs beside the service, with its variables, to ask it; ends with 0 within a few seconds
            where it answers, and prints a line that says what.
        environment: variables that are not secret, name to value.
        secrets: setting that holds the value of each secret variable, by the variable's name.
        image: name of its container's image; empty for the gateway's, and for one that is built here.
        user: user and group as whom the image is made to run, ``UID:GID``; empty for those of the stack's own images.
        folder: folder in the container that a volume of the service's name is mounted at; empty where it keeps nothing.
        files: path in the container of each rendered file that it reads, by the file's name.
        sees_gpus: whether its container is shown the GPUs that the engines have, to look at.
        is_published: whether people open its port; then containers publish it.
        published_address: address of this machine that it is published on.
        capabilities: what Linux must not take from its container, without CAP.
        memory_bytes: memory limit of its container.
        stop_signal: name, without SIG, of the signal that ends it in an orderly way.
        is_own: whether it is a service of the stack's own, with a folder below ``services``: its container is on a
            network with the gateway alone, and what is published of it passes the ingress.
        reaches: what the container of such a service reaches beside the gateway: ``APPS_ALONE``, ``ANYWHERE`` or empty.
        trusts: path on this machine of a PEM file that its container is shown as ``TRUSTED_FILE``; empty for none.
    """

    name: str
    port: int
    script: str
    probe: str
    environment: Mapping[str, str]
    secrets: Mapping[str, str]
    image: str
    user: str
    folder: str
    files: Mapping[str, str] = field(default_factory=dict)
    sees_gpus: bool = False
    is_published: bool = False
    published_address: str = "127.0.0.1"
    capabilities: tuple[str, ...] = ()
    memory_bytes: int = 512 << 20
    ready_timeout_s: float = 60.0
    stop_signal: str = "TERM"
    is_own: bool = False
    reaches: str = ""
    trusts: str = ""


@dataclass(frozen=True, slots=True)
class NeededProgram:
    """A program of the process runtime, and the Debian package that brings it.

    Attributes:
        folders: folders, as glob patterns, that it is also looked for in.
    """

    name: str
    package: str
    folders: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class GatewayLink:
    """Variables with which the gateway finds an app.

    Attributes:
        secrets: setting that holds the value of each secret variable, by the variable's name.
    """

    environment: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict)


def link_nothing(settings: Settings, places: AppPlaces) -> GatewayLink:
    """What the gateway is told of an app that it has nothing to do with."""
    return GatewayLink()


def render_nothing(settings: Settings, places: AppPlaces) -> Mapping[str, str]:
    """The files of an app that has none."""
    return {}


@dataclass(frozen=True, slots=True)
class App:
    """One app.

    Attributes:
        programs: programs that its services are in the process runtime.
        images: setting that names each service's image, by the service.
        ports: settings of the ports of this machine that its services take as processes.
        published: those that containers publish.
        build: the services in one runtime.
        link: what the gateway is told.
        render: the files that its services read, text by name, in one runtime; two runtimes have two files under one
            name only where they are equal.
        as_processes: what is different in the process runtime, as the end of a sentence; empty for nothing.
        own: the folder below ``services`` with the code, Dockerfile and lock of its one service, which has that name;
            empty for programs that are not ours.
    """

    name: str
    programs: tuple[NeededProgram, ...]
    images: Mapping[str, str]
    ports: tuple[str, ...]
    build: Callable[[Settings, AppPlaces], tuple[AppService, ...]]
    published: tuple[str, ...] = ()
    link: Callable[[Settings, AppPlaces], GatewayLink] = link_nothing
    render: Callable[[Settings, AppPlaces], Mapping[str, str]] = render_nothing
    as_processes: str = ""
    own: str = ""
