"""The app ``lan``: Caddy stands in front of the gateway, so that other machines reach it by TLS. Pure.

As a process it reads the certificate's files where they lie, and takes a changed configuration without a break. In a
container, whose user cannot read them, it is given both texts as variables and writes them to memory.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from ipaddress import ip_address
from typing import TYPE_CHECKING

from stackctl.core.apps.app import App, AppPlaces, AppService, GatewayLink, NeededProgram
from stackctl.core.lan.caddy import Front, render_caddy
from stackctl.core.settings.places import find_gateway_place
from stackctl.core.settings.settings import split_names

if TYPE_CHECKING:
    from stackctl.core.settings.settings import Settings

SERVICE = "caddy"
# Of the site's state folder.
AUTHORITY_FILE, AUTHORITY_KEY_FILE = "lan/ca.pem", "lan/ca-key.pem"
# Names of the secrets that a container gets, and of the settings they would be.
CHAIN_VARIABLE, KEY_VARIABLE = "LAN_CHAIN", "LAN_KEY"
CONFIG_FILES = {True: "caddy.json", False: "caddy.process.json"}
_CONTAINER_CONFIG = "/etc/caddy/lan.json"
# Of the container, whose /tmp is memory; only its own programs reach the port.
_CONTAINER_FOLDER, _CONTAINER_PROBE_PORT = "/tmp/lan", 2080  # noqa: S108
_UNSPECIFIED = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  # listened on, never connected to

_PROCESS_SCRIPT = """\
umask 077; mkdir -p "$LAN_FOLDER" || exit 1
PATH="$PATH:$LAN_PROGRAMS" exec caddy run --watch --config "$LAN_CONFIG\""""
_CONTAINER_SCRIPT = f"""\
umask 077; mkdir -p "$LAN_FOLDER" && printf %s "${CHAIN_VARIABLE}" >"$LAN_FOLDER/chain.pem" \\
  && printf %s "${KEY_VARIABLE}" >"$LAN_FOLDER/key.pem" || exit 1
unset {CHAIN_VARIABLE} {KEY_VARIABLE}
exec caddy run --config "$LAN_CONFIG\""""
# As other machines do: verified, by name. Of the company's certificate nobody has to know the issuer here.
PROCESS_PROBE = """\
"$LAN_PYTHON" -I -S -c 'import http.client, os, socket, ssl
e = os.environ
name = e["LAN_NAME"]
context = ssl.create_default_context(cafile=e["LAN_TRUSTED"])
context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
try:
    near = socket.create_connection((e["LAN_PROBED"], int(e["LAN_PORT"])), 4)
    server = context.wrap_socket(near, server_hostname=name)
    client = http.client.HTTPConnection(name)
    client.sock = server
    client.request("GET", "/health/liveness", headers={"Host": e["LAN_HOST"]})
    status = client.getresponse().status
    if status != 200:
        raise SystemExit(f"answers {status} by TLS")
    end = server.getpeercert()["notAfter"]
    print(f"answers by TLS as {name}; certificate until {end}")
except (OSError, http.client.HTTPException) as error:
    raise SystemExit(f"no answer by TLS as {name}: {error}")' 2>&1"""
_CONTAINER_PROBE = f"""\
wget -q -Y off -T 4 -O /dev/null "http://127.0.0.1:{_CONTAINER_PROBE_PORT}/health/liveness" || exit 1
echo "answers /health/liveness of the gateway\""""


def list_names(settings: Settings) -> list[str]:
    """The names of LAN_NAMES, as they are written there."""
    return split_names(settings.lan_names)


def find_url(settings: Settings) -> str:
    """Base URL of the gateway for other machines; empty where they do not reach it by TLS."""
    names = list_names(settings)
    if not names or LAN.name not in split_names(settings.stack_apps):
        return ""
    return f"https://{_write_place(names[0], settings.lan_port)}"


def build_services(settings: Settings, places: AppPlaces) -> tuple[AppService, ...]:
    """The one service."""
    in_container = places.in_container
    config = CONFIG_FILES[in_container]
    folder = _find_folder(places)
    environment = {
        "HOME": folder,
        "LAN_CONFIG": places.find_file(config, _CONTAINER_CONFIG),
        "LAN_FOLDER": folder,
        "LAN_PORT": str(settings.lan_port),
        "XDG_CONFIG_HOME": folder,
        "XDG_DATA_HOME": folder,
    }
    if in_container:
        # A mounted file that was replaced is read by a new container only.
        environment["LAN_DIGEST"] = hashlib.sha256(render_config(settings, places).encode()).hexdigest()[:16]
    else:
        environment |= _build_process_environment(settings, places)
    service = AppService(
        name=SERVICE,
        port=settings.lan_port,
        script=_CONTAINER_SCRIPT if in_container else _PROCESS_SCRIPT,
        probe=_CONTAINER_PROBE if in_container else PROCESS_PROBE,
        environment=environment,
        secrets={CHAIN_VARIABLE: CHAIN_VARIABLE, KEY_VARIABLE: KEY_VARIABLE} if in_container else {},
        image=settings.caddy_image,
        user="",
        folder="",
        files={config: _CONTAINER_CONFIG},
        is_published=True,
        published_address=settings.lan_address,
        # The image's program has the right to low ports in its file; without it in the container's bounds Linux does
        # not start the program at all. It gains nothing: privileges are not added to a user that is not root.
        capabilities=("NET_BIND_SERVICE",),
        memory_bytes=256 << 20,
    )
    return (service,)


def _build_process_environment(settings: Settings, places: AppPlaces) -> dict[str, str]:
    names = list_names(settings)
    first = names[0] if names else ""
    return {
        # The program keeps what it issued with another authority until it is started anew.
        "LAN_AUTHORITY": "" if settings.lan_certificate else places.certificate_mark,
        "LAN_HOST": f"[{first}]" if ":" in first else first,
        "LAN_NAME": first,
        "LAN_PROBED": _UNSPECIFIED.get(settings.lan_address, settings.lan_address),
        "LAN_PROGRAMS": places.programs,
        "LAN_PYTHON": places.gateway_python,
        "LAN_TRUSTED": settings.lan_certificate or f"{places.state}/{AUTHORITY_FILE}",
    }


def _find_folder(places: AppPlaces) -> str:
    return places.choose_folder(SERVICE, _CONTAINER_FOLDER)


def render_files(settings: Settings, places: AppPlaces) -> Mapping[str, str]:
    """Caddy's configuration."""
    return {CONFIG_FILES[places.in_container]: render_config(settings, places)}


def render_config(settings: Settings, places: AppPlaces) -> str:
    """The same as text."""
    in_container, folder = places.in_container, _find_folder(places)
    is_company = bool(settings.lan_certificate)
    own = (f"{places.state}/{AUTHORITY_FILE}", f"{places.state}/{AUTHORITY_KEY_FILE}")
    chain, key = (settings.lan_certificate, settings.lan_certificate_key) if is_company else own
    if in_container:
        chain, key = f"{folder}/chain.pem", f"{folder}/key.pem"
    names = list_names(settings)
    front = Front(
        names=names,
        default_name=next(filter(is_address, names), names[0] if names else ""),
        listen=_write_place(places.listen_address if in_container else settings.lan_address, settings.lan_port),
        gateway=f"api-gateway:{settings.api_gateway_port}" if in_container else find_gateway_place(settings),
        chain=chain,
        key=key,
        is_company=is_company,
        mark=places.certificate_mark,
        storage=f"{folder}/issued-{places.certificate_mark or 'here'}",
        probe=f"127.0.0.1:{_CONTAINER_PROBE_PORT}" if in_container else "",
    )
    return render_caddy(front)


def _write_place(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def is_address(name: str) -> bool:
    """Whether a name is an IP address."""
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def link_gateway(settings: Settings, places: AppPlaces) -> GatewayLink:
    """The names under which the gateway shows its page, beside those that a setting names; addresses it knows."""
    hosts = [name.lower() for name in list_names(settings) if not is_address(name)]
    return (
        GatewayLink({"GATEWAY_HOSTS": ",".join(filter(None, (settings.gateway_hosts, *hosts)))})
        if hosts
        else GatewayLink()
    )


LAN = App(
    name="lan",
    programs=(NeededProgram("caddy", "caddy"),),
    images={SERVICE: "CADDY_IMAGE"},
    ports=("LAN_PORT",),
    published=("LAN_PORT",),
    build=build_services,
    link=link_gateway,
    render=render_files,
)
