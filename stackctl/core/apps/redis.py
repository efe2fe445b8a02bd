"""The app ``redis``: where several gateways count limits together. Pure.

Redis reads its configuration on its standard input, so that the password stands in no file and no argument.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stackctl.core.apps.app import App, AppPlaces, AppService, GatewayLink, NeededProgram

if TYPE_CHECKING:
    from stackctl.core.settings.settings import Settings

SERVICE = "redis"
_PASSWORD = "REDIS_PASSWORD"  # noqa: S105  # a setting's name
# What was counted outlives a restart but for its last second; without the password's title nothing of it is shown; and
# a process that renames itself writes over the variables by which the process runtime knows it.
_SCRIPT = """\
umask 077; mkdir -p "$REDIS_FOLDER" && exec redis-server - <<END
bind $REDIS_ADDRESS
port $REDIS_PORT
protected-mode no
requirepass $REDIS_PASSWORD
dir "$REDIS_QUOTED_FOLDER"
appendonly yes
save ""
maxmemory-policy noeviction
set-proc-title no
END"""
PROBE = """\
answer=$(REDISCLI_AUTH="$REDIS_PASSWORD" timeout 4 redis-cli -h 127.0.0.1 -p "$REDIS_PORT" ping 2>&1)
if [ "$answer" = PONG ]; then echo "answers PING"; else echo "${answer:-no answer to PING within 4 s}"; exit 1; fi"""


def build_services(settings: Settings, places: AppPlaces) -> tuple[AppService, ...]:
    """The one service."""
    folder = places.choose_folder(SERVICE, "/data")
    service = AppService(
        name=SERVICE,
        port=settings.redis_port,
        script=_SCRIPT,
        probe=PROBE,
        environment={
            "REDIS_ADDRESS": places.listen_address,
            "REDIS_PORT": str(settings.redis_port),
            "REDIS_FOLDER": folder,
            "REDIS_QUOTED_FOLDER": folder.replace("\\", "\\\\").replace('"', '\\"'),
        },
        secrets={_PASSWORD: _PASSWORD},
        image=settings.redis_image,
        user="999:999",
        folder=folder,
    )
    return (service,)


def link_gateway(settings: Settings, places: AppPlaces) -> GatewayLink:
    """Where the gateway counts, unless a setting names another Redis."""
    if settings.gateway_redis_url:
        return GatewayLink()
    url = f"redis://{places.choose_host(SERVICE)}:{settings.redis_port}/0"
    return GatewayLink({"GATEWAY_REDIS_URL": url}, {"GATEWAY_REDIS_PASSWORD": _PASSWORD})


REDIS = App(
    name="redis",
    programs=(NeededProgram("redis-server", "redis-server"), NeededProgram("redis-cli", "redis-tools")),
    images={SERVICE: "REDIS_IMAGE"},
    ports=("REDIS_PORT",),
    build=build_services,
    link=link_gateway,
)
